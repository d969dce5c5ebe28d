"""What a scheduler tells Prometheus."""

from collections import Counter
from collections.abc import Iterable, Mapping

from nexus.core.cluster import BackendState, BackendStatus
from nexus.core.names import SessionName, declared_session, stage_session_name, variant_of
from nexus.core.plan import Plan
from nexus.core.units import s_from_us
from nexus.telemetry import metrics
from nexus.telemetry.metric_set import MetricSet


class SchedulerMetrics:
    """The scheduler's metrics, in the scheduler's words. Rates are in items per second."""

    def __init__(self) -> None:
        """Declare them on a registry of their own: ``registry``."""
        self._metrics = MetricSet(metrics.SCHEDULER)
        self.registry = self._metrics.registry

    def epoch_ended(self, trigger: str, duration_us: int) -> None:
        """A plan was made because of ``trigger``."""
        self._metrics.count(metrics.EPOCHS, trigger)
        self._metrics.observe(metrics.EPOCH_DURATION, value=s_from_us(duration_us))

    def planned(self, plan: Plan, moves: int) -> None:
        """``plan`` was published; it loads ``moves`` sessions where they were not."""
        self._metrics.count(metrics.PLAN_MOVES, by=moves)
        self._metrics.set(metrics.PLAN_VERSION, value=plan.version)
        self._metrics.set(metrics.INFEASIBLE, value=len(plan.infeasible))
        used, spares = _devices(plan)
        self._metrics.replace(metrics.PLAN_DEVICES, used)
        self._metrics.replace(metrics.PLAN_SPARES, spares)
        self._metrics.replace(metrics.PLAN_DEVICES_NEEDED, _floats(plan.devices_needed))
        self._metrics.replace(metrics.LOWER_BOUND, plan.lower_bound)
        self._metrics.replace(metrics.SESSION_PLANNED_RATE, _planned_rates(plan))
        self._metrics.replace(metrics.SESSION_UNMET_RATE, plan.unmet)
        self._metrics.replace(metrics.SESSION_DEGRADED, _degraded(plan))
        self._metrics.replace(metrics.STAGE_BUDGET, _budgets_s(plan))

    def observed(
        self,
        rates: Mapping[SessionName, float],
        fan_outs: Mapping[SessionName, float],
        backends: Iterable[BackendStatus],
    ) -> None:
        """What the reports of frontends and backends say: all sessions, all stages, all alive."""
        self._metrics.replace(metrics.SESSION_RATE, rates)
        self._metrics.replace(metrics.STAGE_FAN_OUT, fan_outs)
        states = Counter(status.state for status in backends)
        for state in BackendState:
            self._metrics.set(metrics.BACKENDS, state.value, value=states[state])

    def doubts_catalogue(self, doubted: bool) -> None:
        """Whether an empty catalogue is not believed yet."""
        self._metrics.set(metrics.CATALOGUE_DOUBTED, value=float(doubted))

    def leads(self, fence: int | None) -> None:
        """The fencing number of the lease held; None when another leads."""
        self._metrics.set(metrics.LEADER, value=float(fence is not None))
        self._metrics.set(metrics.LEASE_FENCE, value=fence or 0)

    def store_up(self, up: bool) -> None:
        """Whether the last call to the store succeeded."""
        self._metrics.set(metrics.SCHEDULER_STORE_UP, value=float(up))


def _devices(plan: Plan) -> tuple[dict[str, float], dict[str, float]]:
    """The devices in use and those only kept warm, by type."""
    used: Counter[str] = Counter()
    spares: Counter[str] = Counter()
    for backend in plan.backends:
        if backend.placements:
            idle = all(placement.spare for placement in backend.placements)
            (spares if idle else used)[backend.device] += 1
    return _floats(used), _floats(spares)


def _floats(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: float(count) for name, count in counts.items()}


def _planned_rates(plan: Plan) -> dict[str, float]:
    rates: dict[str, float] = {}
    for backend in plan.backends:
        for placement in backend.placements:
            name = declared_session(placement.session)
            rates[name] = rates.get(name, 0.0) + placement.rate
    return rates


def _degraded(plan: Plan) -> dict[str, float]:
    return {
        declared_session(placement.session): 1.0
        for backend in plan.backends
        for placement in backend.placements
        if placement.rate > 0 and variant_of(placement.session)
    }


def _budgets_s(plan: Plan) -> dict[str, float]:
    return {
        stage_session_name(query, stage): s_from_us(budget_us)
        for query, budgets in plan.splits.items()
        for stage, budget_us in budgets.items()
    }
