"""Row 4: the devices, what they are planned for and what they do."""

from nexus.deploy.board.panel import INSTANCE, Panel, Row, Series, Unit
from nexus.deploy.promql import aggregate, quantile, rate
from nexus.telemetry.metrics import (
    BACKENDS,
    DEVICE_BUSY,
    DUTY_CYCLE,
    LOWER_BOUND,
    MEMORY,
    MODEL_LOAD,
    PLAN_DEVICES,
    PLAN_DEVICES_NEEDED,
    PLAN_SPARES,
    PROFILE_ERROR,
)

ROW = Row(
    "Devices",
    (
        Panel(
            title="Device busy ratio",
            description="Share of time each device executes batches. The plan fills it to below "
            "1; much lower means that load fell and the next epoch will free devices.",
            unit=Unit.RATIO,
            series=(Series(rate(DEVICE_BUSY, "instance", where=INSTANCE), "{{instance}}"),),
        ),
        Panel(
            title="Devices used, needed and least",
            description="Devices in the plan, devices the load asks for, and what no plan can do "
            "without. Needed above used: too few backends.",
            unit=Unit.COUNT,
            series=(
                Series(aggregate("max", PLAN_DEVICES, "device"), "{{device}} used"),
                Series(aggregate("max", PLAN_DEVICES_NEEDED, "device"), "{{device}} needed"),
                Series(aggregate("max", PLAN_SPARES, "device"), "{{device}} kept warm"),
                Series(aggregate("max", LOWER_BOUND, "device"), "{{device}} lower bound"),
            ),
        ),
        Panel(
            title="Backends by state",
            description="Live backends as the scheduler sees them. starting for long: a model or "
            "a device does not load.",
            unit=Unit.COUNT,
            series=(Series(aggregate("max", BACKENDS, "state"), "{{state}}"),),
        ),
        Panel(
            title="Duty cycle",
            description="Planned duty cycle: the time in which each session of a device gets "
            "one batch.",
            unit=Unit.SECONDS,
            series=(
                Series(aggregate("max", DUTY_CYCLE, "instance", where=INSTANCE), "{{instance}}"),
            ),
        ),
        Panel(
            title="Model memory",
            description="Memory of the resident models, by device and model.",
            unit=Unit.BYTES,
            series=(
                Series(
                    aggregate("sum", MEMORY, "instance", "model", where=INSTANCE),
                    "{{instance}} {{model}}",
                ),
            ),
        ),
        Panel(
            title="Profile error",
            description="Measured batch latency over the profile's. Above 1 the plan is too "
            "hopeful: measure the model again on this device.",
            unit=Unit.RATIO,
            target=1.3,
            series=(
                Series(
                    aggregate("max", PROFILE_ERROR, "instance", "model", where=INSTANCE),
                    "{{instance}} {{model}}",
                ),
            ),
        ),
        Panel(
            title="Model load time",
            description="Making a model resident, 99th percentile. Serving goes on meanwhile.",
            unit=Unit.SECONDS,
            series=(Series(quantile(0.99, MODEL_LOAD, "model", where=INSTANCE), "{{model}}"),),
        ),
    ),
)
