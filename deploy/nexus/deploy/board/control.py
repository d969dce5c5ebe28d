"""Row 5: the control plane: is there a leader, does it plan, does the plan arrive?"""

from nexus.deploy.board.panel import SESSION, Panel, Row, Series, Unit
from nexus.deploy.promql import aggregate, increase, quantile
from nexus.telemetry.metrics import (
    BACKEND_PLAN_VERSION,
    BACKEND_STORE_UP,
    CATALOGUE_DOUBTED,
    EPOCH_DURATION,
    EPOCHS,
    FRONTEND_STORE_UP,
    INFEASIBLE,
    LEADER,
    LEASE_FENCE,
    PLAN_MOVES,
    PLAN_VERSION,
    SCHEDULER_STORE_UP,
    SESSION_DEGRADED,
    SESSION_PLANNED_RATE,
    SESSION_RATE,
    SESSION_UNMET_RATE,
    TABLE_AGE,
    TABLE_VERSION,
)

ROW = Row(
    "Control",
    (
        Panel(
            title="Estimated and planned rate",
            description="Load as the scheduler estimates it against the capacity it planned. "
            "Above the plan the next epoch comes at once; unmet load has no device.",
            unit=Unit.ITEMS_PER_SECOND,
            series=(
                Series(
                    aggregate("max", SESSION_RATE, "session", where=SESSION), "{{session}} load"
                ),
                Series(
                    aggregate("max", SESSION_PLANNED_RATE, "session", where=SESSION),
                    "{{session}} planned",
                ),
                Series(
                    aggregate("max", SESSION_UNMET_RATE, "session", where=SESSION),
                    "{{session}} unmet",
                ),
            ),
        ),
        Panel(
            title="Plans by trigger",
            description="Plans made, by what caused them. Mostly periodic is calm; mostly rate "
            "changes is a load that moves faster than the estimate.",
            unit=Unit.COUNT,
            series=(Series(increase(EPOCHS, "trigger"), "{{trigger}}"),),
        ),
        Panel(
            title="Time to make a plan",
            description="Median and 99th percentile of planning.",
            unit=Unit.SECONDS,
            series=(
                Series(quantile(0.5, EPOCH_DURATION), "p50"),
                Series(quantile(0.99, EPOCH_DURATION), "p99"),
            ),
        ),
        Panel(
            title="Infeasible sessions",
            description="Sessions that the plan cannot serve within their SLO; `nexus get plan` "
            "says why for each.",
            unit=Unit.COUNT,
            target=1.0,
            series=(Series(aggregate("max", INFEASIBLE), "infeasible"),),
        ),
        Panel(
            title="Degraded sessions",
            description="Sessions that the plan serves by a cheaper variant of their model until "
            "there are devices for their own.",
            unit=Unit.COUNT,
            target=1.0,
            series=(
                Series(aggregate("max", SESSION_DEGRADED, "session", where=SESSION), "{{session}}"),
            ),
        ),
        Panel(
            title="Session moves",
            description="Sessions loaded on a backend that had them not, per window. Every move "
            "costs a model load.",
            unit=Unit.COUNT,
            series=(Series(increase(PLAN_MOVES), "moves"),),
        ),
        Panel(
            title="Versions of plan and table",
            description="Published plan, plan acted on by each backend, table in use at each "
            "frontend. Lines that stay behind are processes that do not hear.",
            unit=Unit.VERSION,
            series=(
                Series(aggregate("max", PLAN_VERSION), "plan published"),
                Series(aggregate("max", BACKEND_PLAN_VERSION, "instance"), "{{instance}} plan"),
                Series(aggregate("max", TABLE_VERSION, "instance"), "{{instance}} table"),
            ),
        ),
        Panel(
            title="Age of the routing table",
            description="Since each frontend last read the table, changed or not.",
            unit=Unit.SECONDS,
            series=(Series(aggregate("max", TABLE_AGE, "instance"), "{{instance}}"),),
        ),
        Panel(
            title="Leader",
            description="1 on the scheduler that leads, and the fencing number of its lease. The "
            "sum must be 1; the number grows at every change of leader.",
            unit=Unit.VERSION,
            series=(
                Series(aggregate("max", LEADER, "instance"), "{{instance}} leads"),
                Series(aggregate("max", LEASE_FENCE), "fence"),
            ),
        ),
        Panel(
            title="Store reachable",
            description="0 where the last call to the store failed. Serving goes on with the "
            "last plan; new plans and new backends wait.",
            unit=Unit.VERSION,
            target=1.0,
            at_least=True,
            series=(
                Series(aggregate("min", FRONTEND_STORE_UP, "instance"), "frontend {{instance}}"),
                Series(aggregate("min", BACKEND_STORE_UP, "instance"), "backend {{instance}}"),
                Series(aggregate("min", SCHEDULER_STORE_UP, "instance"), "scheduler {{instance}}"),
                Series(aggregate("max", CATALOGUE_DOUBTED), "everything declared has vanished"),
            ),
        ),
    ),
)
