"""A cluster on a table top: the real engine, and backends and frontends that do as they are told.

One step is a second: everyone reports, the engine acts, backends load what the plan lists (one step
later they say so), frontends take up the newest table. What the engine publishes is written down in
short lines, so that a test can show a whole story.
"""

from dataclasses import dataclass, field, replace

from nexus.core.cluster import (
    BackendState,
    BackendStatus,
    Catalogue,
    FrontendReport,
    StageCount,
)
from nexus.core.model import EngineKind, Model
from nexus.core.plan import Plan
from nexus.core.profile import Profile, linear_profile
from nexus.core.query import Query
from nexus.core.routing import RoutingTable
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.events import (
    Effect,
    LeaseGained,
    Observed,
    PublishPlan,
    PublishTable,
    Scale,
)
from nexus.scheduler.settings import NEXUS, EpochSettings, PlannerSettings

DEVICE = "v100"


def resnet(name: str = "resnet", memory_bytes: int = 0) -> Profile:
    """l(b) = 0.75 b + 7.96 ms: batch 22 at 50 ms, 896 items/s."""
    profile = linear_profile(name, DEVICE, 750, 7_960, 64)
    return replace(profile, memory_bytes=memory_bytes)


def catalogue_of(
    profiles: tuple[Profile, ...],
    sessions: tuple[Session, ...] = (),
    queries: tuple[Query, ...] = (),
    version: int = 1,
) -> Catalogue:
    models = tuple(
        Model(name=profile.model, engine=EngineKind.EMULATED, max_batch=64) for profile in profiles
    )
    return Catalogue(
        models=models, sessions=sessions, queries=queries, profiles=profiles, version=version
    )


@dataclass
class VirtualCluster:
    """Drive with ``step``; read ``story``."""

    catalogue: Catalogue
    planner: PlannerSettings = NEXUS
    epochs: EpochSettings = field(default_factory=EpochSettings)
    now_s: int = 0
    backends: dict[str, BackendStatus] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    fan_outs: dict[str, float] = field(default_factory=dict)
    unloadable: set[str] = field(default_factory=set)
    frontend_frozen: bool = False
    lost: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)
    table: RoutingTable = field(default_factory=RoutingTable)
    story: list[str] = field(default_factory=list)
    scaled: list[dict[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = SchedulerEngine(self.planner, self.epochs)
        self.frontend = FrontendReport(frontend="f0", incarnation=1, address="f:1", at_us=0)
        self.lead(1)

    def lead(self, fence: int) -> None:
        """Give the (possibly new) engine the lease and what lies in the store."""
        self.take(self.engine.handle(LeaseGained(fence, self.plan, self.table), self.now_us))

    @property
    def now_us(self) -> int:
        return self.now_s * US_PER_S

    def add(self, *names: str, memory_bytes: int = 0) -> None:
        for name in names:
            self.backends[name] = BackendStatus(
                backend=name,
                incarnation=self.now_s,
                address=f"{name}:1",
                control_address=f"{name}:2",
                device=DEVICE,
                memory_bytes=memory_bytes,
                state=BackendState.SERVING,
            )

    def kill(self, name: str) -> None:
        del self.backends[name]

    def step(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.now_s += 1
            self._count_arrivals()
            self.take(self.engine.handle(self.observed(), self.now_us))
            self._backends_act()
            if not self.frontend_frozen:
                self.frontend = replace(self.frontend, table_version=self.table.version)

    def observed(self) -> Observed:
        ordered = tuple(self.backends[name] for name in sorted(self.backends))
        return Observed(self.catalogue, ordered, (self.frontend,))

    def take(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, PublishPlan):
                assert effect.plan.version > self.plan.version
                self.plan = effect.plan
                self.story.append(f"{self.now_s}s plan {_shown_plan(effect.plan)}")
            elif isinstance(effect, PublishTable):
                assert effect.table.version > self.table.version
                self.table = effect.table
                self.story.append(f"{self.now_s}s table {_shown_table(effect.table)}")
            else:
                assert isinstance(effect, Scale)
                self.scaled.append(dict(effect.devices))

    def routed(self, session: str) -> list[str]:
        """Without spares."""
        routes = self.table.session(session)
        return [route.backend for route in routes.routes if not route.spare] if routes else []

    def _count_arrivals(self) -> None:
        arrivals = dict(self.frontend.arrivals)
        stages = dict(self.frontend.stages)
        for key, rate in self.rates.items():
            arrivals[key] = arrivals.get(key, 0) + round(rate)
        for stage, fan_out in self.fan_outs.items():
            frames = round(self.rates[stage.split("/")[0]])
            seen = stages.get(stage, StageCount(0, 0))
            arrivals[stage] = arrivals.get(stage, 0) + round(frames * fan_out)
            stages[stage] = StageCount(
                seen.calls + round(frames * fan_out), seen.parent_calls + frames
            )
        self.frontend = replace(
            self.frontend, at_us=self.now_us, arrivals=arrivals, stages=stages, lost=self.lost
        )

    def _backends_act(self) -> None:
        for name, status in self.backends.items():
            mine = self.plan.backend_plan(name)
            asked = [placement.session for placement in mine.placements] if mine else []
            self.backends[name] = replace(
                status,
                plan_version=self.plan.version,
                loaded=tuple(session for session in asked if session not in self.unloadable),
                failed={s: "no such weights" for s in asked if s in self.unloadable},
            )


def _shown_plan(plan: Plan) -> str:
    backends = []
    for backend in plan.backends:
        sessions = [
            f"{p.session} x{p.batch}" if p.rate else f"({p.session})" for p in backend.placements
        ]
        backends.append(f"{backend.backend}: {', '.join(sessions)}")
    return " | ".join(backends) or "nothing"


def _shown_table(table: RoutingTable) -> str:
    sessions = []
    for routes in table.sessions:
        names = ",".join(route.backend for route in routes.routes) or "nowhere"
        sessions.append(f"{routes.session} -> {names}{' !' if routes.infeasible else ''}")
    return " | ".join(sessions) or "nothing"
