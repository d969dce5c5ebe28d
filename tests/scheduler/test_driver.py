"""The loop around the engine: leases, fencing, a store that goes away and comes back."""

from collections.abc import Mapping

import pytest

from nexus.core.clock import VirtualClock
from nexus.core.errors import UnavailableError
from nexus.core.model import EngineKind, Model
from nexus.core.plan import Plan
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.driver import SchedulerDriver
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.leadership import LEASE_TTL_US, Leadership
from nexus.store import MemoryStore
from nexus.store.cluster import ClusterStore
from nexus.telemetry.scheduler import SchedulerMetrics
from tests.scheduler.virtual_cluster import VirtualCluster, catalogue_of, resnet


class FickleStore(MemoryStore):
    """A memory store that can be away, wholly or for writing plans."""

    away = False
    read_only = False

    async def get(self, key: str) -> bytes | None:
        self._check(self.away)
        return await super().get(key)

    async def acquire_lease(
        self, name: str, holder: str, ttl_us: int, above: int = 0
    ) -> int | None:
        self._check(self.away)
        return await super().acquire_lease(name, holder, ttl_us, above)

    async def put_fenced(self, key: str, value: bytes, fence: int) -> None:
        self._check(self.away or self.read_only)
        await super().put_fenced(key, value, fence)

    def _check(self, away: bool) -> None:
        if away:
            raise UnavailableError("the store is away")


class Scheduler:
    """One scheduler on a shared store and clock."""

    def __init__(self, store: MemoryStore, clock: VirtualClock, name: str) -> None:
        self.cluster = ClusterStore(store, "test")
        self.engine = SchedulerEngine()
        self.leadership = Leadership(self.cluster, name, clock)
        self.driver = SchedulerDriver(
            self.engine,
            self.cluster,
            self.leadership,
            metrics=SchedulerMetrics(),
            clock=clock,
        )


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(now_us=US_PER_S)


@pytest.fixture
def store(clock: VirtualClock) -> FickleStore:
    return FickleStore(clock)


async def declare(scheduler: Scheduler) -> None:
    cluster = scheduler.cluster
    await cluster.put_model(Model(name="resnet", engine=EngineKind.EMULATED))
    await cluster.put_profile(resnet())
    await cluster.put_session(Session(model="resnet", slo_us=50_000, expected_rate=400))
    example = VirtualCluster(catalogue_of((resnet(),)))
    example.add("b0")
    await cluster.report_backend(example.backends["b0"])


async def test_driver_plans_and_publishes_under_its_fence(
    store: FickleStore, clock: VirtualClock
) -> None:
    scheduler = Scheduler(store, clock, "s0")
    await declare(scheduler)
    await scheduler.driver.round()
    plan, table = await scheduler.cluster.plan(), await scheduler.cluster.table()
    assert plan.backends[0].placements[0].session == "resnet@50ms"
    assert (plan.fence, table.fence) == (1, 1)


async def test_driver_publishes_the_newest_plan_once_the_store_takes_it(
    store: FickleStore, clock: VirtualClock
) -> None:
    scheduler = Scheduler(store, clock, "s0")
    await declare(scheduler)
    store.read_only = True
    with pytest.raises(UnavailableError):
        await scheduler.driver.round()
    assert (await scheduler.cluster.plan()) == Plan()
    store.read_only = False
    await scheduler.driver.round()
    assert (await scheduler.cluster.plan()).version == scheduler.engine.plan.version
    assert (await scheduler.cluster.table()).version == scheduler.engine.table.version


async def test_driver_standby_leads_once_the_lease_ends(
    store: FickleStore, clock: VirtualClock
) -> None:
    first, second = Scheduler(store, clock, "s0"), Scheduler(store, clock, "s1")
    await declare(first)
    await first.driver.round()
    await second.driver.round()
    assert (first.engine.leading, second.engine.leading) == (True, False)
    clock.advance_to(clock.now_us() + LEASE_TTL_US + 1)
    await second.driver.round()
    assert second.engine.leading
    assert (await second.cluster.plan()).fence == 2


async def test_driver_steps_down_when_fenced(store: FickleStore, clock: VirtualClock) -> None:
    """The first leader slept through its lease and still believes in it."""
    first, second = Scheduler(store, clock, "s0"), Scheduler(store, clock, "s1")
    await declare(first)
    await first.driver.round()
    clock.advance_to(clock.now_us() + LEASE_TTL_US + 1)
    await declare(second)
    await second.driver.round()
    first.leadership._renew_due_us = clock.now_us() + 10 * US_PER_S
    await declare(first)
    for _ in range(4):
        await first.driver.round()
        clock.advance_to(clock.now_us() + US_PER_S // 2)
    assert not first.engine.leading
    assert (await first.cluster.plan()).fence == 2


async def test_leadership_ends_with_the_time_to_live_while_the_store_is_away(
    store: FickleStore, clock: VirtualClock
) -> None:
    leadership = Leadership(ClusterStore(store, "test"), "s0", clock)
    assert await leadership.keep() == 1
    store.away = True
    clock.advance_to(clock.now_us() + LEASE_TTL_US - 1)
    with pytest.raises(UnavailableError):
        await leadership.keep()
    assert leadership.fence == 1
    clock.advance_to(clock.now_us() + 1)
    with pytest.raises(UnavailableError):
        await leadership.keep()
    assert leadership.fence is None


async def test_leadership_released_is_free_at_once(store: FickleStore, clock: VirtualClock) -> None:
    first = Leadership(ClusterStore(store, "test"), "s0", clock)
    second = Leadership(ClusterStore(store, "test"), "s1", clock)
    assert await first.keep() == 1
    await first.release()
    assert await second.keep() == 2


class RecordingScaler:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, int]] = []

    async def scale(self, devices: Mapping[str, int]) -> None:
        self.asked.append(dict(devices))

    async def follow(self, leading: object) -> None:
        """Never called: the test does not run the loop."""
        raise AssertionError(leading)


async def test_driver_hands_the_device_counts_to_the_scaler(
    store: FickleStore, clock: VirtualClock
) -> None:
    scaler = RecordingScaler()
    scheduler = Scheduler(store, clock, "s0")
    scheduler.driver = SchedulerDriver(
        scheduler.engine,
        scheduler.cluster,
        scheduler.leadership,
        metrics=SchedulerMetrics(),
        clock=clock,
        scaler=scaler,
    )
    await declare(scheduler)
    await scheduler.driver.round()
    assert scheduler.driver._scaling is not None
    await scheduler.driver._scaling
    assert scaler.asked == [{"v100": 1}]
