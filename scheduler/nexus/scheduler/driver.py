"""Drives the engine: observe the store, hand events in, carry effects out, again and again.

Holds no decisions. What the engine published is kept until the store has taken it, newest only, so
a store that was away for a while catches up with one write.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from nexus.core.clock import Clock
from nexus.core.cluster import BackendStatus
from nexus.core.errors import FencedError, NexusError, UnavailableError
from nexus.core.names import DeviceType
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.core.units import US_PER_S, s_from_us
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.events import (
    Effect,
    Event,
    LeaseGained,
    LeaseLost,
    Observed,
    PublishPlan,
    PublishTable,
    Scale,
)
from nexus.scheduler.leadership import Leadership
from nexus.store.base import Subscription
from nexus.store.cluster import ClusterStore
from nexus.telemetry.scheduler import SchedulerMetrics

POLL_US = US_PER_S
"""The cluster is looked at this often, notified or not."""
PAUSE_S = 0.05
"""Between two looks, however many notifications come: the scheduler acts at its own pace."""

_log = logging.getLogger(__name__)


class Scaler(Protocol):
    """Whoever can start and stop devices: the replica controller in Kubernetes, or nobody."""

    async def scale(self, devices: Mapping[DeviceType, int]) -> None:
        """Take up how many devices of each type are needed, and act on it."""
        ...

    async def follow(self, leading: Callable[[], bool]) -> None:
        """Go on until cancelled, acting only while this scheduler leads."""
        ...


class SchedulerDriver:
    """One scheduler's loop; ``run`` it as a coroutine and cancel it to end."""

    def __init__(
        self,
        engine: SchedulerEngine,
        cluster: ClusterStore,
        leadership: Leadership,
        *,
        metrics: SchedulerMetrics,
        clock: Clock,
        scaler: Scaler | None = None,
    ) -> None:
        """Touch nothing yet."""
        self._engine = engine
        self._cluster = cluster
        self._leadership = leadership
        self._metrics = metrics
        self._clock = clock
        self._scaler = scaler
        self._plan: Plan | None = None
        self._table: RoutingTable | None = None
        self._published = Plan()
        self._wake = asyncio.Event()
        self._scaling: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Look and act until cancelled."""
        listeners = [self._cluster.subscribe_status(), self._cluster.subscribe_catalogue()]
        async with asyncio.TaskGroup() as group:
            for listener in listeners:
                group.create_task(self._listen(listener))
            if self._scaler is not None:
                group.create_task(self._scaler.follow(lambda: self._engine.leading))
            try:
                while True:
                    await self._round_or_log()
                    await asyncio.sleep(PAUSE_S)
                    await self._sleep()
            finally:
                for listener in listeners:
                    await listener.close()

    async def round(self) -> None:
        """One look at the store and what follows; raise UnavailableError when it is away."""
        await self._follow_lease()
        observed = Observed(
            catalogue=await self._cluster.catalogue(),
            backends=await self._cluster.backends(),
            frontends=await self._cluster.frontends(),
        )
        doubted = self._engine.doubts_catalogue
        self._handle(observed)
        if self._engine.doubts_catalogue and not doubted:
            _log.warning("everything declared has vanished: going on with what was")
        self._metrics.doubts_catalogue(self._engine.doubts_catalogue)
        self._observe_metrics(observed.backends)
        await self._publish()

    async def _round_or_log(self) -> None:
        try:
            await self.round()
        except UnavailableError as error:
            self._metrics.store_up(False)
            _log.warning("store away, going on with what is known", extra={"error": error.message})
            if self._leadership.fence is None and self._engine.leading:
                self._step_down()
        except NexusError as error:
            _log.exception("a look at the cluster failed", extra={"error": error.message})
        else:
            self._metrics.store_up(True)

    async def _follow_lease(self) -> None:
        """Tell the engine when the lease comes or goes."""
        before = self._leadership.fence
        fence = await self._leadership.keep()
        if fence is not None and (fence != before or not self._engine.leading):
            plan, table = await self._cluster.plan(), await self._cluster.table()
            self._published = plan
            _log.info("leading", extra={"fence": fence, "plan": plan.version})
            self._handle(LeaseGained(fence, plan, table))
        elif fence is None and self._engine.leading:
            self._step_down()
        self._metrics.leads(fence)

    def _step_down(self) -> None:
        _log.warning("no longer leading")
        self._plan = self._table = None
        self._handle(LeaseLost())
        self._metrics.leads(None)

    def _handle(self, event: Event) -> None:
        started_us = self._clock.now_us()
        effects = self._engine.handle(event, started_us)
        if self._engine.trigger:
            self._metrics.epoch_ended(self._engine.trigger, self._clock.now_us() - started_us)
            _log.info(
                "planned",
                extra={
                    "trigger": self._engine.trigger,
                    "epoch": self._engine.plan.epoch,
                    "devices": dict(self._engine.plan.devices_needed),
                    "unmet": len(self._engine.plan.unmet),
                    "infeasible": len(self._engine.plan.infeasible),
                },
            )
        for effect in effects:
            self._take(effect)

    def _take(self, effect: Effect) -> None:
        if isinstance(effect, PublishPlan):
            self._plan = effect.plan
        elif isinstance(effect, PublishTable):
            self._table = effect.table
        elif self._scaler is not None:
            self._scale(self._scaler, effect)

    def _scale(self, scaler: Scaler, effect: Scale) -> None:
        """Start scaling without waiting for it; the scaler serialises and repeats by itself."""

        async def scale() -> None:
            try:
                await scaler.scale(effect.devices)
            except NexusError as error:
                _log.warning("scaling failed", extra={"error": error.message})

        self._scaling = asyncio.create_task(scale())

    async def _publish(self) -> None:
        """The plan first: a table must never route to what no plan asks to be loaded."""
        fence = self._leadership.fence
        if fence is None:
            return
        try:
            if self._plan is not None:
                await self._cluster.publish_plan(self._plan, fence)
                self._metrics.planned(self._plan, moves(self._published, self._plan))
                self._published, self._plan = self._plan, None
            if self._table is not None:
                await self._cluster.publish_table(self._table, fence)
                self._table = None
        except FencedError as error:
            _log.warning("a newer leader has published", extra={"error": error.message})
            self._leadership.lost()
            self._step_down()

    def _observe_metrics(self, backends: tuple[BackendStatus, ...]) -> None:
        rates = self._engine.expected_rates(self._clock.now_us())
        self._metrics.observed(rates, self._engine.fan_outs(), backends)

    async def _listen(self, subscription: Subscription) -> None:
        while True:
            if await subscription.wait(POLL_US):
                self._wake.set()

    async def _sleep(self) -> None:
        """Until something happens, the engine wants a tick, or it is time to look again."""
        due_us = self._engine.next_wakeup_us()
        wait_us = POLL_US if due_us is None else due_us - self._clock.now_us()
        timeout_s = s_from_us(min(POLL_US, max(0, wait_us)))
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()


def moves(before: Plan, after: Plan) -> int:
    """How many sessions the new plan loads where they were not."""

    def spots(plan: Plan) -> set[tuple[str, str]]:
        return {
            (backend.backend, placement.session)
            for backend in plan.backends
            for placement in backend.placements
            if placement.rate > 0 or placement.spare
        }

    return len(spots(after) - spots(before))
