"""The scheduler in virtual time: the real engine, fed with what all nodes report each second."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nexus.core.cluster import BackendStatus, Catalogue, FrontendReport
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.scheduler import events
from nexus.scheduler.engine import SchedulerEngine
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World


@dataclass(frozen=True, slots=True)
class Observation:
    """What the store would hold now."""

    catalogue: Catalogue
    backends: tuple[BackendStatus, ...]
    frontends: tuple[FrontendReport, ...]


@dataclass(slots=True)
class SimulatedScheduler:
    """Interprets the engine's effects: publications go to every node at once, as by the store."""

    world: World
    engine: SchedulerEngine
    observe: Callable[[], Observation]
    publish_plan: Callable[[Plan], None]
    publish_table: Callable[[RoutingTable], None]
    plans: list[Plan] = field(default_factory=list)
    _wakeup: Wakeup = field(init=False)

    def __post_init__(self) -> None:
        """Let the engine be woken."""
        self._wakeup = Wakeup(self.world, lambda: self.handle(events.Tick()))

    def lead(self) -> None:
        """Win the lease of an empty store."""
        self.handle(events.LeaseGained(1, Plan(), RoutingTable()))

    def look(self) -> None:
        """Read the store: what a notification, or the poll each second, leads to."""
        seen = self.observe()
        self.handle(events.Observed(seen.catalogue, seen.backends, seen.frontends))

    def handle(self, event: events.Event) -> None:
        """Tell the engine, do what it says."""
        for effect in self.engine.handle(event, self.world.now_us):
            match effect:
                case events.PublishPlan():
                    self.plans.append(effect.plan)
                    self.publish_plan(effect.plan)
                case events.PublishTable():
                    self.publish_table(effect.table)
                case events.Scale():
                    pass
        self._wakeup.set(self.engine.next_wakeup_us())
