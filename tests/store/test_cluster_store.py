"""ClusterStore: typed state, a catalogue that is cheap to poll, and what wakes whom."""

import logging
from dataclasses import replace

import pytest

from nexus.core.clock import VirtualClock
from nexus.core.cluster import (
    BackendState,
    BackendStatus,
    Catalogue,
    FrontendReport,
    MeasuredLatency,
)
from nexus.core.errors import FencedError, InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.core.plan import BackendPlan, Infeasible, Placement, Plan
from nexus.core.profile import linear_profile
from nexus.core.query import Query, Stage
from nexus.core.routing import Route, RoutingTable, SessionRoutes
from nexus.core.session import Session
from nexus.store import MemoryStore
from nexus.store.cluster import STATUS_TTL_US, ClusterStore
from nexus.store.keys import ResourceKind
from tests.store.place import Place

MODEL = Model(name="resnet", engine=EngineKind.EMULATED, max_batch=32)
SESSION = Session(model="resnet", slo_us=50_000, expected_rate=10.0)
QUERY = Query(
    name="street",
    slo_us=400_000,
    stages=(
        Stage(name="detect", model="ssd"),
        Stage(name="car", model="resnet", after=("detect",)),
    ),
)
PROFILE = linear_profile("resnet", "v100", 750, 7960, 32)
PLACEMENT = Placement(
    session="resnet@50ms", model="resnet", slo_us=50_000, batch=8, rate=99.5, latency_us=13_960
)
PLAN = Plan(
    version=4,
    epoch=2,
    fence=7,
    backends=(
        BackendPlan(device="v100", duty_cycle_us=80_000, occupancy=0.2, placements=(PLACEMENT,)),
    ),
    infeasible=(Infeasible("x@5ms", "l(1) = 8.7 ms"),),
    splits={"street": {"detect": 180_000, "car": 220_000}},
    devices_needed={"v100": 1},
    lower_bound={"v100": 0.7},
)
ROUTE = Route(
    backend="b0",
    address="127.0.0.1:1",
    rate=99.5,
    batch=8,
    duty_cycle_us=80_000,
    latency_us=13_960,
)
TABLE = RoutingTable(
    version=3,
    sessions=(
        SessionRoutes(session="resnet@50ms", model="resnet", slo_us=50_000, routes=(ROUTE,)),
    ),
)
STATUS = BackendStatus(
    backend="b0",
    incarnation=1,
    address="127.0.0.1:1",
    control_address="127.0.0.1:2",
    device="v100",
    loaded=("resnet@50ms",),
    failed={"bad@9ms": "no such file"},
)
REPORT = FrontendReport(
    frontend="f0", incarnation=1, address="127.0.0.1:3", at_us=5, arrivals={"resnet@50ms": 12}
)
SECOND_US = 1_000_000
A_MOMENT_US = 20_000


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
def cluster(store: MemoryStore) -> ClusterStore:
    return ClusterStore(store)


async def declare_all(cluster: ClusterStore) -> None:
    await cluster.put_model(MODEL)
    await cluster.put_session(SESSION)
    await cluster.put_query(QUERY)
    await cluster.put_profile(PROFILE)


async def test_cluster_store_gives_back_what_it_was_given(place: Place) -> None:
    cluster = ClusterStore(place.store)
    await declare_all(cluster)
    await cluster.publish_plan(PLAN, 7)
    await cluster.publish_table(TABLE, 7)
    await cluster.report_backend(STATUS)
    await cluster.report_frontend(REPORT)

    reader = ClusterStore(place.store)
    catalogue = await reader.catalogue()
    assert catalogue.models == (MODEL,)
    assert catalogue.sessions == (SESSION,)
    assert catalogue.queries == (QUERY,)
    assert catalogue.profiles == (PROFILE,)
    assert await reader.plan() == PLAN
    assert await reader.table() == TABLE
    assert await reader.backends() == (STATUS,)
    assert await reader.frontends() == (REPORT,)


async def test_cluster_store_begins_empty(cluster: ClusterStore) -> None:
    catalogue = await cluster.catalogue()
    assert catalogue == Catalogue()
    assert await cluster.plan() == Plan()
    assert await cluster.table() == RoutingTable()
    assert await cluster.backends() == ()


async def test_clusters_in_one_store_do_not_see_one_another(store: MemoryStore) -> None:
    one, other = ClusterStore(store, "one"), ClusterStore(store, "one-more")
    await declare_all(one)
    await one.report_backend(STATUS)
    assert (await other.catalogue()).models == ()
    assert await other.backends() == ()


def test_cluster_name_must_be_a_name(store: MemoryStore) -> None:
    with pytest.raises(InvalidArgumentError, match="cluster name 'a}b'"):
        ClusterStore(store, "a}b")


async def test_catalogue_is_the_same_object_until_something_is_declared(
    cluster: ClusterStore,
) -> None:
    await cluster.put_model(MODEL)
    first = await cluster.catalogue()
    assert await cluster.catalogue() is first
    await cluster.put_session(SESSION)
    second = await cluster.catalogue()
    assert second.sessions == (SESSION,)
    assert second.version > first.version


async def test_catalogue_sorts_by_name(cluster: ClusterStore) -> None:
    for name in ("b", "a10", "a2"):
        await cluster.put_model(Model(name=name, engine=EngineKind.EMULATED))
    assert [model.name for model in (await cluster.catalogue()).models] == ["a10", "a2", "b"]


async def test_delete_removes_a_resource_of_its_kind_only(cluster: ClusterStore) -> None:
    await declare_all(cluster)
    assert await cluster.delete(ResourceKind.PROFILE, "resnet/v100")
    assert not await cluster.delete(ResourceKind.PROFILE, "resnet/v100")
    assert await cluster.delete(ResourceKind.SESSION, "resnet@50ms")
    catalogue = await cluster.catalogue()
    assert not catalogue.profiles
    assert not catalogue.sessions
    assert catalogue.models == (MODEL,)


async def test_catalogue_misses_no_write_that_happens_while_it_is_read(
    clock: VirtualClock,
) -> None:
    class InterruptedStore(MemoryStore):
        """Another process declares a session in the middle of the first read."""

        interrupted = False

        async def scan(self, prefix: str) -> dict[str, bytes]:
            found = await super().scan(prefix)
            if not self.interrupted and "session" in prefix:
                self.interrupted = True
                await ClusterStore(self).put_session(SESSION)
            return found

    cluster = ClusterStore(InterruptedStore(clock))
    assert (await cluster.catalogue()).sessions == ()
    assert (await cluster.catalogue()).sessions == (SESSION,)


@pytest.mark.parametrize(
    "content", [b"not json", b"[]", b'{"name":"m","engine":"steam"}', b'{"a":1}', b"\xff"]
)
async def test_malformed_value_is_skipped_and_named(
    store: MemoryStore, cluster: ClusterStore, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    await cluster.put_model(MODEL)
    await store.put("nexus:{default}:model/broken", content)
    await store.put("nexus:{default}:plan", content)
    with caplog.at_level(logging.WARNING):
        assert (await cluster.catalogue()).models == (MODEL,)
        assert await cluster.plan() == Plan()
    named = {getattr(record, "key", "") for record in caplog.records}
    assert named == {"nexus:{default}:model/broken", "nexus:{default}:plan"}


async def test_publishing_with_an_older_fence_is_refused(cluster: ClusterStore) -> None:
    await cluster.publish_plan(PLAN, 7)
    await cluster.publish_table(TABLE, 7)
    with pytest.raises(FencedError):
        await cluster.publish_plan(Plan(version=9), 6)
    with pytest.raises(FencedError):
        await cluster.publish_table(RoutingTable(version=9), 6)
    assert (await cluster.plan()).version == PLAN.version


async def test_scheduler_lease_passes_on_when_released(cluster: ClusterStore) -> None:
    first = await cluster.acquire_scheduler_lease("s0", SECOND_US)
    assert await cluster.acquire_scheduler_lease("s1", SECOND_US) is None
    await cluster.release_scheduler_lease("s0")
    second = await cluster.acquire_scheduler_lease("s1", SECOND_US)
    assert first is not None
    assert second is not None
    assert second > first


async def test_reports_expire_when_they_stop(cluster: ClusterStore, clock: VirtualClock) -> None:
    await cluster.report_backend(STATUS)
    await cluster.report_frontend(REPORT)
    clock.advance_to(STATUS_TTL_US - 1)
    assert await cluster.backends() == (STATUS,)
    clock.advance_to(STATUS_TTL_US)
    assert await cluster.backends() == ()
    assert await cluster.frontends() == ()


async def test_forgotten_reports_are_gone_at_once(cluster: ClusterStore) -> None:
    await cluster.report_backend(STATUS)
    await cluster.report_frontend(REPORT)
    await cluster.forget_backend("b0")
    await cluster.forget_frontend("f0")
    assert await cluster.backends() == ()
    assert await cluster.frontends() == ()


async def test_status_wakes_readers_only_when_there_is_something_to_act_on(
    cluster: ClusterStore,
) -> None:
    subscription = cluster.subscribe_status()
    await cluster.report_backend(STATUS)
    assert await subscription.wait(SECOND_US)

    measured = replace(STATUS, measured=(MeasuredLatency("resnet", 8, 14_000),))
    await cluster.report_backend(measured)
    assert not await subscription.wait(A_MOMENT_US)
    assert (await cluster.backends())[0].measured == measured.measured

    await cluster.report_backend(replace(STATUS, state=BackendState.DRAINING))
    assert await subscription.wait(SECOND_US)
    await cluster.forget_backend("b0")
    assert await subscription.wait(SECOND_US)
    await cluster.report_backend(replace(STATUS, state=BackendState.DRAINING))
    assert await subscription.wait(SECOND_US), "a backend that comes back is news"


async def test_frontend_wakes_readers_when_it_uses_a_newer_table(cluster: ClusterStore) -> None:
    subscription = cluster.subscribe_status()
    await cluster.report_frontend(REPORT)
    assert await subscription.wait(SECOND_US)
    await cluster.report_frontend(replace(REPORT, arrivals={"resnet@50ms": 13}))
    assert not await subscription.wait(A_MOMENT_US)
    await cluster.report_frontend(replace(REPORT, table_version=4))
    assert await subscription.wait(SECOND_US)


async def test_each_channel_wakes_for_its_own_changes(cluster: ClusterStore) -> None:
    plan, table = cluster.subscribe_plan(), cluster.subscribe_table()
    catalogue = cluster.subscribe_catalogue()
    await cluster.publish_plan(PLAN, 7)
    assert await plan.wait(SECOND_US)
    assert not await table.wait(A_MOMENT_US)
    await cluster.publish_table(TABLE, 7)
    assert await table.wait(SECOND_US)
    assert not await catalogue.wait(A_MOMENT_US)
    await cluster.delete(ResourceKind.MODEL, "none")
    assert await catalogue.wait(SECOND_US)
    assert not await plan.wait(A_MOMENT_US)


async def test_lost_notification_is_made_up_for_by_polling(
    clock: VirtualClock,
) -> None:
    class DeafStore(MemoryStore):
        """Every notification is lost."""

        async def notify(self, channel: str) -> None:
            pass

    cluster = ClusterStore(DeafStore(clock))
    subscription = cluster.subscribe_table()
    await cluster.publish_table(TABLE, 1)
    assert not await subscription.wait(A_MOMENT_US)
    assert (await cluster.table()).version == TABLE.version
