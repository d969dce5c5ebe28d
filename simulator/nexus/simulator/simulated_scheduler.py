"""A scheduler in virtual time: the real engine, the lease, and the rounds of its server.

``nexus.scheduler.driver`` and ``leadership`` are the originals: look at the store each second and
when woken, renew the lease each second, stop believing in it when it must have ended.
"""

from collections.abc import Callable

from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.core.units import US_PER_S
from nexus.scheduler import events
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.leadership import LEASE_TTL_US, RENEW_US
from nexus.simulator.process import Process
from nexus.simulator.surroundings import Surroundings
from nexus.simulator.wakeup import Wakeup

POLL_US = US_PER_S
PAUSE_US = 50_000
"""The least time between two looks, as in the server."""


class SimulatedScheduler(Process):
    """Interprets the engine's effects: publications go to the store."""

    def __init__(
        self,
        around: Surroundings,
        name: str,
        incarnation: int,
        engine: SchedulerEngine,
        on_plan: Callable[[Plan], None],
    ) -> None:
        """``on_plan`` sees every plan that is published."""
        super().__init__(around.world, name, incarnation)
        self.engine = engine
        self._store = around.store
        self._network = around.network
        self._on_plan = on_plan
        self._holder = f"{name}/{incarnation}"
        self._fence: int | None = None
        self._renew_due_us = 0
        self._held_until_us = 0
        self._plan: Plan | None = None
        self._table: RoutingTable | None = None
        self._looked_us = -PAUSE_US
        self._round_due = Wakeup(around.world, self._round)

    def start(self) -> None:
        """Begin to look."""
        self._store.subscribe_scheduler(self)
        self._round_due.set(self.world.now_us)

    def wake(self) -> None:
        """The store notifies: look soon."""
        if self.running:
            self._round_due.set(max(self.world.now_us, self._looked_us + PAUSE_US))

    def resume(self) -> None:
        """Go on with a round."""
        super().resume()
        if self.alive:
            self._round_due.set(self.world.now_us)

    def _round(self) -> None:
        """Ask the store; the answer comes after the way there and back."""
        if not self.running:
            return
        self._looked_us = self.world.now_us
        self._network.lane(self.name, self._store.name).send(self._at_store)
        self._round_due.set(self.world.now_us + POLL_US)
        if self._fence is not None and self.world.now_us >= self._held_until_us:
            self._step_down()

    def _at_store(self) -> None:
        """At the store: renew the lease and read everything; a store that is away does not."""
        store = self._store
        if not store.running or not self.alive:
            return
        fence = store.acquire_lease(self._holder) if self._renews() else self._fence
        observed = events.Observed(store.catalogue, store.backends(), store.frontends())
        published = (store.plan, store.table)
        self._network.lane(store.name, self.name).send(self._look, fence, observed, published)

    def _renews(self) -> bool:
        return self.world.now_us >= self._renew_due_us

    def _look(
        self, fence: int | None, observed: events.Observed, published: tuple[Plan, RoutingTable]
    ) -> None:
        """The store's answer: follow the lease, tell the engine, publish."""
        if not self.running:
            self.wait(self._look, fence, observed, published)
            return
        if self._renews():
            # Belief counts from before the renewal was sent.
            self._renew_due_us = self._looked_us + RENEW_US
            self._held_until_us = self._looked_us + LEASE_TTL_US
        if fence is not None and (fence != self._fence or not self.engine.leading):
            self._fence = fence
            self._handle(events.LeaseGained(fence, *published))
        elif fence is None and self.engine.leading:
            self._step_down()
        self._handle(observed)
        self._publish()
        self._sleep()

    def _step_down(self) -> None:
        self._fence = self._plan = self._table = None
        self._handle(events.LeaseLost())

    def _handle(self, event: events.Event) -> None:
        for effect in self.engine.handle(event, self.world.now_us):
            match effect:
                case events.PublishPlan():
                    self._plan = effect.plan
                case events.PublishTable():
                    self._table = effect.table
                case events.Scale():
                    pass  # The devices of a scenario are fixed.

    def _publish(self) -> None:
        if self._fence is None or (self._plan is None and self._table is None):
            return
        lane = self._network.lane(self.name, self._store.name)
        lane.send(self._publish_at_store, self._plan, self._table, self._fence)
        if self._plan is not None:
            self._on_plan(self._plan)
        self._plan = self._table = None

    def _publish_at_store(self, plan: Plan | None, table: RoutingTable | None, fence: int) -> None:
        """The plan first: a table must never route to what no plan asks to be loaded."""
        store = self._store
        if not store.running:
            # The call fails; the engine believes it has published. The next leader sees what is.
            self._network.lane(store.name, self.name).send(self._publish_failed, plan, table, fence)
            return
        taken = plan is None or store.publish_plan(plan, fence)
        taken = taken and (table is None or store.publish_table(table, fence))
        if not taken:
            self._network.lane(store.name, self.name).send(self._fenced)

    def _publish_failed(self, plan: Plan | None, table: RoutingTable | None, fence: int) -> None:
        """Keep it for the next round, unless something newer waits already."""
        if self._fence == fence:
            self._plan = self._plan or plan
            self._table = self._table or table

    def _fenced(self) -> None:
        """A newer leader has published."""
        if self.alive and self.engine.leading:
            self._step_down()
            self._renew_due_us = self.world.now_us + RENEW_US

    def _sleep(self) -> None:
        due_us = self.engine.next_wakeup_us()
        poll_us = self._looked_us + POLL_US
        due_us = poll_us if due_us is None else min(poll_us, due_us)
        self._round_due.set(max(due_us, self._looked_us + PAUSE_US))
