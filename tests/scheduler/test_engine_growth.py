"""Between epochs: surges and losses are answered at once, by warm spares where there are any."""

from dataclasses import replace

from nexus.core.catalogue_doubt import EMPTY_US
from nexus.core.cluster import Catalogue
from nexus.core.plan import Plan
from nexus.core.profile import linear_profile
from nexus.core.routing import RoutingTable
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.settings import DEFAULT, EpochSettings, TunerSettings
from tests.scheduler.virtual_cluster import VirtualCluster, catalogue_of, resnet

LOCAL = replace(DEFAULT, pools=None)
COLD = replace(LOCAL, tuner=TunerSettings(spare_share=0.0))
BUSY = Session(model="resnet", slo_us=50_000, expected_rate=700)
OTHER = Session(model="other", slo_us=50_000, expected_rate=700)
NEVER = EpochSettings(epoch_us=3_600 * US_PER_S, epoch_min_us=600 * US_PER_S)


def cluster_of(*names: str, **settings: object) -> VirtualCluster:
    """Two sessions of 700 items/s, each on a device of its own; the other names are idle."""
    catalogue = catalogue_of((resnet(), resnet("other")), (BUSY, OTHER))
    cluster = VirtualCluster(catalogue, **{"planner": LOCAL, "epochs": NEVER, **settings})  # type: ignore[arg-type]
    cluster.add(*names)
    cluster.rates |= {BUSY.name: 700, OTHER.name: 700}
    cluster.step(10)
    cluster.story.clear()
    return cluster


def spares(cluster: VirtualCluster) -> list[str]:
    return [b.backend for b in cluster.plan.backends if all(p.spare for p in b.placements)]


def test_engine_keeps_idle_backends_warm_and_asks_for_no_more() -> None:
    cluster = cluster_of("b0", "b1", "b2", "b3")
    assert cluster.routed(BUSY.name) + cluster.routed(OTHER.name) == ["b0", "b1"]
    assert spares(cluster) == ["b2", "b3"]
    assert set(cluster.backends["b2"].loaded) == {BUSY.name, OTHER.name}
    assert cluster.plan.devices_needed == {"v100": 2}


def test_engine_routes_a_surge_to_a_spare_in_the_second_it_is_seen() -> None:
    cluster = cluster_of("b0", "b1", "b2")
    cluster.rates[BUSY.name] = 1100
    cluster.step()
    assert cluster.engine.trigger == "surge"
    assert cluster.routed(BUSY.name) == ["b0", "b2"]
    assert cluster.routed(OTHER.name) == ["b1"]


def test_engine_loads_for_a_surge_where_nothing_is_warm() -> None:
    cluster = cluster_of("b0", "b1", "b2", planner=COLD)
    cluster.rates[BUSY.name] = 1100
    cluster.step(2)
    assert cluster.routed(BUSY.name) == ["b0", "b2"]


def test_engine_does_not_move_anything_for_a_surge() -> None:
    cluster = cluster_of("b0", "b1", "b2")
    before = cluster.plan.backend_plan("b1")
    cluster.rates[BUSY.name] = 1100
    cluster.step(5)
    assert cluster.plan.backend_plan("b1") == before


def test_engine_leaves_a_surge_that_needs_more_than_there_is_and_asks_for_it() -> None:
    cluster = cluster_of("b0", "b1")
    cluster.rates[BUSY.name] = 2000
    cluster.step()
    assert cluster.story == []
    assert cluster.scaled[-1]["v100"] >= 4
    cluster.step(8)
    assert cluster.story == []


def test_engine_holds_what_surged_until_the_averages_know() -> None:
    cluster = cluster_of("b0", "b1", "b2", epochs=EpochSettings(epoch_us=5 * US_PER_S))
    cluster.rates[BUSY.name] = 1100
    for _ in range(40):
        cluster.step()
        assert cluster.routed(BUSY.name) == ["b0", "b2"]
    cluster.rates[BUSY.name] = 300
    cluster.step(60)
    assert cluster.routed(BUSY.name) == ["b0"]


def test_engine_replaces_a_dead_backend_by_a_spare_at_once() -> None:
    cluster = cluster_of("b0", "b1", "b2", "b3")
    cluster.kill("b0")
    cluster.step()
    assert cluster.engine.trigger == "loss"
    assert cluster.routed(BUSY.name) == ["b2"]
    assert cluster.routed(OTHER.name) == ["b1"]
    cluster.step()
    assert spares(cluster) == ["b3"]


def test_engine_gives_a_restarted_backends_work_to_a_spare() -> None:
    cluster = cluster_of("b0", "b1", "b2")
    cluster.add("b0")
    cluster.step()
    assert cluster.routed(BUSY.name) == ["b2"]
    assert spares(cluster) == ["b0"]


def test_engine_without_a_tuner_waits_for_the_epoch() -> None:
    cluster = cluster_of("b0", "b1", "b2", planner=replace(LOCAL, tuner=None))
    cluster.rates[BUSY.name] = 1100
    cluster.step(30)
    assert cluster.story == []
    assert spares(cluster) == []


def test_engine_keeps_the_cluster_when_the_whole_catalogue_vanishes() -> None:
    cluster = cluster_of("b0", "b1")
    cluster.catalogue = Catalogue(version=2)
    cluster.step(20)
    assert (cluster.engine.doubts_catalogue, cluster.routed(BUSY.name)) == (True, ["b0"])
    cluster.catalogue = catalogue_of((resnet(), resnet("other")), (BUSY, OTHER), version=3)
    cluster.step(EMPTY_US // US_PER_S + 5)
    assert (cluster.engine.doubts_catalogue, cluster.routed(BUSY.name)) == (False, ["b0"])


def test_engine_believes_an_empty_catalogue_that_stays_empty() -> None:
    cluster = cluster_of("b0", "b1")
    cluster.catalogue = Catalogue(version=2)
    cluster.step(EMPTY_US // US_PER_S + 5)
    assert cluster.table.sessions == ()


def test_engine_believes_a_catalogue_that_is_emptied_in_steps() -> None:
    cluster = cluster_of("b0", "b1")
    cluster.catalogue = catalogue_of((resnet(),), version=2)
    cluster.step()
    cluster.catalogue = Catalogue(version=3)
    cluster.step(4)
    assert cluster.table.sessions == ()


def test_engine_goes_on_from_its_own_plan_when_the_store_has_lost_it() -> None:
    cluster = cluster_of("b0", "b1")
    plan, table = cluster.plan, cluster.table
    cluster.plan, cluster.table = Plan(), RoutingTable()
    cluster.lead(2)
    assert cluster.plan.fence == 2
    assert cluster.table == replace(table, fence=2)
    cluster.step()
    assert (cluster.plan.version, cluster.plan.fence) == (plan.version + 1, 2)
    assert cluster.table.version >= table.version
    assert cluster.table.session(BUSY.name) == table.session(BUSY.name)


def test_engine_waits_for_all_to_report_to_a_store_that_was_emptied() -> None:
    cluster = cluster_of("b0", "b1")
    backends, catalogue = dict(cluster.backends), cluster.catalogue
    routed = {name: cluster.routed(name) for name in (BUSY.name, OTHER.name)}
    cluster.plan, cluster.table, cluster.catalogue = Plan(), RoutingTable(), Catalogue()
    cluster.backends = {"b1": backends["b1"]}
    cluster.step()
    assert cluster.story == []
    cluster.lead(2)
    for second in range(10):
        cluster.backends = backends if second else cluster.backends
        cluster.catalogue = replace(catalogue, version=7) if second > 3 else Catalogue()
        cluster.step()
        assert {name: cluster.routed(name) for name in routed} == routed


LADDER = Session(model="resnet", slo_us=50_000, expected_rate=700, variants=("small",))


def ladder_cluster() -> VirtualCluster:
    """One device, one session that a smaller model could serve twice as fast."""
    small = linear_profile("small", "v100", 300, 4_000, 64)
    cluster = VirtualCluster(catalogue_of((resnet(), small), (LADDER,)), planner=LOCAL)
    cluster.add("b0")
    cluster.rates[LADDER.name] = 700
    cluster.step(12)
    return cluster


def served_by(cluster: VirtualCluster) -> tuple[str, str]:
    routes = cluster.table.session(LADDER.name)
    assert routes is not None
    return routes.model, routes.variant


def test_engine_steps_down_for_a_surge_that_no_device_is_left_for() -> None:
    cluster = ladder_cluster()
    assert served_by(cluster) == ("resnet", "")
    cluster.rates[LADDER.name] = 1100
    for _ in range(3):
        cluster.step()
        assert cluster.routed(LADDER.name) == ["b0"]
    assert served_by(cluster) == ("resnet", "small")
    assert cluster.plan.unmet == {}


def test_engine_steps_up_again_once_there_is_room_for_a_while() -> None:
    cluster = ladder_cluster()
    cluster.rates[LADDER.name] = 1100
    cluster.step(40)
    assert served_by(cluster) == ("resnet", "small")
    cluster.rates[LADDER.name] = 500
    for _ in range(90):
        cluster.step()
        assert cluster.routed(LADDER.name) == ["b0"]
    assert served_by(cluster) == ("resnet", "")


def test_engine_of_a_new_leader_knows_which_model_serves() -> None:
    cluster = ladder_cluster()
    cluster.rates[LADDER.name] = 1100
    cluster.step(40)
    cluster.engine = SchedulerEngine(cluster.planner, cluster.epochs)
    cluster.lead(2)
    for _ in range(20):
        cluster.step()
        assert served_by(cluster) == ("resnet", "small")


def test_engine_believes_the_frontends_that_a_backend_is_dead_before_its_status_expires() -> None:
    cluster = cluster_of("b0", "b1", "b2", "b3")
    cluster.lost = ("b0",)
    cluster.step()
    assert cluster.engine.trigger == "loss"
    assert (cluster.routed(BUSY.name), cluster.routed(OTHER.name)) == (["b2"], ["b1"])
    cluster.lost = ()
    cluster.step(4)
    assert cluster.routed(BUSY.name) == ["b2"]
    cluster.kill("b3")
    cluster.step(2)
    assert spares(cluster) == ["b0"], "it still reports: only the connection had broken"


def test_engine_does_not_believe_frontends_that_have_lost_everybody() -> None:
    cluster = cluster_of("b0", "b1", "b2", "b3")
    cluster.lost = ("b0", "b1", "b2", "b3")
    cluster.step(3)
    assert (cluster.routed(BUSY.name), cluster.routed(OTHER.name)) == (["b0"], ["b1"])
