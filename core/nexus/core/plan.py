"""A Plan: which backend runs which sessions, at which batch size and duty cycle."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nexus.core.names import (
    BackendName,
    DeviceType,
    ModelName,
    PoolName,
    QueryName,
    SessionName,
    StageName,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One session on one backend.

    ``rate`` (items/s) is the share of the session this backend takes; 0 marks a placement that is
    on its way out: keep it loaded and serve what still comes until a plan no longer lists it.
    ``latency_us`` is l(``batch``), ``single_us`` l(1) if known; ``slo_us`` the session's budget.
    ``pool`` names the pool whose owner dispatches the session here (ADR 0020); None: the session is
    local, and every frontend does. A ``spare`` is loaded but not counted on: its rate is 0 though
    it is not on its way out: owners of pools and frontends use it when the others cannot keep up.
    A deferred batch starts ``slack_us`` before its last moment: where sessions share a pool, it may
    then have to wait for another's. ``arrives_evenly``: its items are foretold to come at equal
    gaps, and no lull makes up for what a batch falls behind.

    Placements of one backend with the same ``group`` are batched together, by deadline; each of
    them has the ``batch`` and ``latency_us`` of the whole group. The group's l(b) is the profile of
    the group's name where there is one (a prefix group: shared layers once, then every member's
    own), else that of the one model they all have; members with neither are batched apart.
    """

    session: SessionName
    model: ModelName
    slo_us: int
    batch: int
    rate: float
    latency_us: int
    memory_bytes: int = 0
    pool: PoolName | None = None
    spare: bool = False
    group: str | None = None
    slack_us: int = 0
    single_us: int = 0
    arrives_evenly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendPlan:
    """What one device does. ``backend`` is empty in an offline plan.

    Occupancy is the share of the duty cycle spent executing: sum of l(b) over the duty cycle.
    """

    device: DeviceType
    duty_cycle_us: int
    occupancy: float
    placements: tuple[Placement, ...]
    memory_bytes: int = 0
    backend: BackendName = ""


@dataclass(frozen=True, slots=True)
class Infeasible:
    """A session that the devices at hand, or any number of them, cannot serve; and why.

    ``hint`` says what would make it feasible, where anything would.
    """

    session: SessionName
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole cluster's plan: full state, never a delta.

    ``version`` grows with every publication; ``epoch`` with every re-planning; ``fence`` is the
    publishing leader's fencing number. ``splits`` gives each query stage's budget in us;
    ``devices_needed`` what the load asks for, which may exceed what exists; ``unmet`` is the rate
    (items/s) of each session that the devices at hand do not cover: admission refuses it.
    ``unmet_reasons`` is why, where it is not for want of devices.
    ``replanning`` says what spoke for going on from the last plan, or against it.
    """

    version: int = 0
    epoch: int = 0
    fence: int = 0
    backends: tuple[BackendPlan, ...] = ()
    infeasible: tuple[Infeasible, ...] = ()
    splits: Mapping[QueryName, Mapping[StageName, int]] = field(default_factory=dict)
    devices_needed: Mapping[DeviceType, int] = field(default_factory=dict)
    unmet: Mapping[SessionName, float] = field(default_factory=dict)
    lower_bound: Mapping[DeviceType, float] = field(default_factory=dict)
    replanning: str = ""
    unmet_reasons: Mapping[SessionName, str] = field(default_factory=dict)

    def backend_plan(self, backend: str) -> BackendPlan | None:
        """What the named backend must do, or None when the plan does not use it."""
        for candidate in self.backends:
            if candidate.backend == backend:
                return candidate
        return None
