"""Row 2: whole queries, and where in their stages the time goes."""

from nexus.deploy.board.panel import QUERY, SESSION, Panel, Row, Series, Unit
from nexus.deploy.outcomes import ADMITTED
from nexus.deploy.promql import aggregate, quantile, rate, share
from nexus.telemetry.metrics import (
    QUERY_LATENCY,
    QUERY_REQUESTS,
    SLO_TARGET,
    STAGE_BUDGET,
    STAGE_FAN_OUT,
    STAGE_LATENCY,
)

_OK = f'{QUERY}, outcome="ok"'
_ADMITTED = f"{QUERY}, {ADMITTED}"

ROW = Row(
    "Queries and stages",
    (
        Panel(
            title="SLO attainment by query",
            description="Share of admitted frames whose whole query was answered in time.",
            unit=Unit.RATIO,
            target=0.99,
            at_least=True,
            series=(
                Series(
                    share(QUERY_REQUESTS, "query", part=_OK, whole=_ADMITTED),
                    "{{query}}",
                ),
            ),
        ),
        Panel(
            title="Frames by outcome",
            description="Frames that came in, by how they ended. upstream means that one stage "
            "failed and the others were spared the work.",
            unit=Unit.PER_SECOND,
            series=(
                Series(
                    rate(QUERY_REQUESTS, "query", "outcome", where=QUERY), "{{query}} {{outcome}}"
                ),
            ),
        ),
        Panel(
            title="Query latency and SLO",
            description="From a frame's arrival to the answer of its whole query, against the "
            "one SLO the user gave.",
            unit=Unit.SECONDS,
            series=(
                Series(quantile(0.5, QUERY_LATENCY, "query", where=QUERY), "{{query}} p50"),
                Series(quantile(0.99, QUERY_LATENCY, "query", where=QUERY), "{{query}} p99"),
                Series(aggregate("max", SLO_TARGET, "session", where=SESSION), "{{session}} SLO"),
            ),
        ),
        Panel(
            title="Stage latency and budget",
            description="99th percentile of each stage against the share of the SLO that the "
            "split gave it. A stage over its budget eats into the others.",
            unit=Unit.SECONDS,
            series=(
                Series(quantile(0.99, STAGE_LATENCY, "session", where=SESSION), "{{session}} p99"),
                Series(
                    aggregate("max", STAGE_BUDGET, "session", where=SESSION), "{{session}} budget"
                ),
            ),
        ),
        Panel(
            title="Fan-out by stage",
            description="Measured calls of a stage per call of its parent: what the split is "
            "computed from. It follows the content of the video.",
            unit=Unit.COUNT,
            series=(
                Series(aggregate("max", STAGE_FAN_OUT, "session", where=SESSION), "{{session}}"),
            ),
        ),
    ),
)
