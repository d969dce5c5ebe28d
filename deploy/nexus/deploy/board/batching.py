"""Row 3: what the backends do with their queues."""

from nexus.deploy.board.panel import SESSION, Look, Panel, Row, Series, Unit
from nexus.deploy.promql import aggregate, mean, quantile, rate
from nexus.telemetry.metrics import (
    ASKS,
    BATCH_SIZE,
    BATCH_TARGET,
    BATCHES,
    DROPS,
    EXECUTE,
    POSTPROCESS,
    PREPROCESS,
    QUEUE_LENGTH,
    QUEUE_WAIT,
)

ROW = Row(
    "Batching",
    (
        Panel(
            title="Batch sizes",
            description="How many batches of each size were executed. Mass far below the plan "
            "means that load is lower than planned, or that deadlines cut batches short.",
            unit=Unit.COUNT,
            look=Look.HEATMAP,
            series=(Series(rate(BATCH_SIZE, "le", where=SESSION, suffix="_bucket"), "{{le}}"),),
        ),
        Panel(
            title="Batch size and plan",
            description="Mean batch executed against the batch planned, by session.",
            unit=Unit.COUNT,
            series=(
                Series(mean(BATCH_SIZE, "session", where=SESSION), "{{session}} mean"),
                Series(
                    aggregate("avg", BATCH_TARGET, "session", where=SESSION), "{{session}} planned"
                ),
            ),
        ),
        Panel(
            title="Asks between frontends",
            description="Places in pools that owners gave to other frontends, or refused. None, "
            "with several frontends and a pooled session: they do not reach each other.",
            unit=Unit.PER_SECOND,
            series=(Series(rate(ASKS, "outcome"), "{{outcome}}"),),
        ),
        Panel(
            title="Batches",
            description="Batches executed per second, by session.",
            unit=Unit.ITEMS_PER_SECOND,
            series=(Series(rate(BATCHES, "session", where=SESSION), "{{session}}"),),
        ),
        Panel(
            title="Queue wait",
            description="From an item's arrival at the backend to the start of its batch. The "
            "plan allows one duty cycle.",
            unit=Unit.SECONDS,
            series=(
                Series(quantile(0.5, QUEUE_WAIT, "session", where=SESSION), "{{session}} p50"),
                Series(quantile(0.99, QUEUE_WAIT, "session", where=SESSION), "{{session}} p99"),
            ),
        ),
        Panel(
            title="Queue length",
            description="Items waiting now, over all backends of a session.",
            unit=Unit.COUNT,
            series=(
                Series(aggregate("sum", QUEUE_LENGTH, "session", where=SESSION), "{{session}}"),
            ),
        ),
        Panel(
            title="Execution of a batch",
            description="Time of one batch on the device, the paper's l(b).",
            unit=Unit.SECONDS,
            series=(
                Series(quantile(0.5, EXECUTE, "session", where=SESSION), "{{session}} p50"),
                Series(quantile(0.99, EXECUTE, "session", where=SESSION), "{{session}} p99"),
            ),
        ),
        Panel(
            title="Backend drops by reason",
            description="Items the backends gave up. deadline is early drop doing its work: the "
            "rest of the queue stays in time.",
            unit=Unit.ITEMS_PER_SECOND,
            series=(
                Series(rate(DROPS, "session", "reason", where=SESSION), "{{session}} {{reason}}"),
            ),
        ),
        Panel(
            title="Pre- and post-processing",
            description="99th percentile of the work outside the device; it overlaps execution "
            "and still takes its part of the SLO.",
            unit=Unit.SECONDS,
            series=(
                Series(quantile(0.99, PREPROCESS, "session", where=SESSION), "{{session}} before"),
                Series(quantile(0.99, POSTPROCESS, "session", where=SESSION), "{{session}} after"),
            ),
        ),
    ),
)
