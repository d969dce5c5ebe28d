"""Row 1: does every session get what it was promised, and what happens to the rest?"""

from nexus.deploy.board.panel import SESSION, Panel, Row, Series, Unit
from nexus.deploy.outcomes import ADMITTED
from nexus.deploy.promql import aggregate, quantile, rate, share
from nexus.telemetry.metrics import (
    DEGRADED,
    DISPATCHES,
    EXPECTED_WAIT,
    IN_FLIGHT,
    REQUEST_LATENCY,
    REQUESTS,
    SLACK,
    SLO_TARGET,
)

_OK = f'{SESSION}, outcome="ok"'
_ADMITTED = f"{SESSION}, {ADMITTED}"
_DROPPED = f'{SESSION}, outcome!="ok"'

ROW = Row(
    "Promises kept",
    (
        Panel(
            title="SLO attainment by session",
            description="Share of admitted requests answered in time. The promise is 99 % for "
            "every session; below the line, look at drops by reason.",
            unit=Unit.RATIO,
            target=0.99,
            at_least=True,
            series=(
                Series(
                    share(REQUESTS, "session", part=_OK, whole=_ADMITTED),
                    "{{session}}",
                ),
            ),
        ),
        Panel(
            title="Goodput and offered load",
            description="Requests answered in time against requests that arrived. A gap is load "
            "that was refused or broken.",
            unit=Unit.PER_SECOND,
            series=(
                Series(rate(REQUESTS, "session", where=_OK), "{{session}} in time"),
                Series(rate(REQUESTS, "session", where=SESSION), "{{session}} offered"),
            ),
        ),
        Panel(
            title="Drops by reason",
            description="Requests that ended without an answer in time. overloaded and no_route "
            "ask for devices; deadline and late mean that the plan is too hopeful.",
            unit=Unit.PER_SECOND,
            series=(
                Series(
                    rate(REQUESTS, "session", "outcome", where=_DROPPED), "{{session}} {{outcome}}"
                ),
            ),
        ),
        Panel(
            title="Answered by a variant",
            description="Requests that a cheaper variant of the session's model answered, because "
            "the devices do not suffice for its own.",
            unit=Unit.PER_SECOND,
            series=(
                Series(rate(DEGRADED, "session", "model", where=SESSION), "{{session}} {{model}}"),
            ),
        ),
        Panel(
            title="Latency and SLO by session",
            description="Median and 99th percentile of answered requests, against the SLO. A "
            "quantile is as exact as the histogram's buckets.",
            unit=Unit.SECONDS,
            series=(
                Series(quantile(0.5, REQUEST_LATENCY, "session", where=SESSION), "{{session}} p50"),
                Series(
                    quantile(0.99, REQUEST_LATENCY, "session", where=SESSION), "{{session}} p99"
                ),
                Series(aggregate("max", SLO_TARGET, "session", where=SESSION), "{{session}} SLO"),
            ),
        ),
        Panel(
            title="Slack of the slowest 1 %",
            description="Time left at the finish, first percentile. It nears zero before "
            "requests begin to be late: the early warning.",
            unit=Unit.SECONDS,
            target=0.0,
            at_least=True,
            series=(
                Series(quantile(0.01, SLACK, "session", where=SESSION), "{{session}} p1 slack"),
            ),
        ),
        Panel(
            title="Expected wait at admission",
            description="What admission expects a request that arrives now to wait; one that "
            "has less time than this left is refused at once.",
            unit=Unit.SECONDS,
            series=(
                Series(aggregate("max", EXPECTED_WAIT, "session", where=SESSION), "{{session}}"),
            ),
        ),
        Panel(
            title="Requests in flight",
            description="Accepted and not yet answered, by frontend. Steady growth means that "
            "answers do not come back.",
            unit=Unit.COUNT,
            series=(Series(aggregate("sum", IN_FLIGHT, "instance"), "{{instance}}"),),
        ),
        Panel(
            title="Dispatches by backend",
            description="What the frontends send to each backend. Shares follow the plan; a "
            "backend without any is not routed to.",
            unit=Unit.PER_SECOND,
            series=(Series(rate(DISPATCHES, "backend", where=SESSION), "{{backend}}"),),
        ),
        Panel(
            title="Failed dispatches by outcome",
            description="Dispatches that a backend dropped or lost. backend_lost is a crash or "
            "a network fault; the frontend repeats them where time is left.",
            unit=Unit.PER_SECOND,
            series=(
                Series(
                    rate(DISPATCHES, "backend", "outcome", where=_DROPPED),
                    "{{backend}} {{outcome}}",
                ),
            ),
        ),
    ),
)
