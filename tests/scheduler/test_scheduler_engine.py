"""The engine's stories: start, load steps, death, change of leader, load failure."""

import pytest

from nexus.core.query import Query, Stage
from nexus.core.session import Session
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.events import LeaseLost, Tick
from nexus.scheduler.settings import EpochSettings
from tests.scheduler.virtual_cluster import VirtualCluster, catalogue_of, resnet

TIGHT = Session(model="resnet", slo_us=50_000, expected_rate=400)
LOOSE = Session(model="resnet", slo_us=100_000, expected_rate=90)


def settled(cluster: VirtualCluster, seconds: int = 4) -> VirtualCluster:
    cluster.step(seconds)
    cluster.story.clear()
    return cluster


def test_scheduler_engine_loads_before_it_routes() -> None:
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT,)))
    cluster.add("b0", "b1")
    cluster.step(3)
    assert cluster.story == [
        "1s plan b0: resnet@50ms x13",
        "1s table resnet@50ms -> nowhere",
        "2s table resnet@50ms -> b0",
    ]


def test_scheduler_engine_is_silent_when_nothing_changes() -> None:
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT, LOOSE)))
    cluster.add("b0", "b1")
    settled(cluster)
    cluster.step(20)
    assert cluster.story == []


def test_scheduler_engine_waits_for_backends_and_plans_when_they_come() -> None:
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT,)))
    cluster.step(3)
    assert cluster.plan.unmet == {"resnet@50ms": 400}
    assert cluster.plan.devices_needed == {"v100": 1}
    cluster.add("b0")
    cluster.step(3)
    assert cluster.routed("resnet@50ms") == ["b0"]


def test_scheduler_engine_follows_a_load_step_within_an_epoch() -> None:
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT,)))
    cluster.add("b0", "b1", "b2")
    cluster.rates["resnet@50ms"] = 800
    settled(cluster, 45)
    assert cluster.routed("resnet@50ms") == ["b0"]
    cluster.rates["resnet@50ms"] = 1200
    cluster.step(15)
    assert cluster.routed("resnet@50ms") == ["b0", "b1"]


def test_scheduler_engine_ignores_what_chance_explains() -> None:
    quiet = Session(model="resnet", slo_us=50_000, expected_rate=2)
    cluster = VirtualCluster(
        catalogue_of((resnet(),), (quiet,)), epochs=EpochSettings(epoch_us=3_600_000_000)
    )
    cluster.add("b0")
    cluster.rates["resnet@50ms"] = 2
    settled(cluster, 30)
    cluster.rates["resnet@50ms"] = 3
    cluster.step(30)
    assert cluster.story == []


def test_scheduler_engine_withdraws_a_dead_backend_at_once_and_plans_again() -> None:
    busy = Session(model="resnet", slo_us=50_000, expected_rate=1500)
    cluster = VirtualCluster(catalogue_of((resnet(),), (busy,)))
    cluster.add("b0", "b1", "b2")
    settled(cluster)
    assert cluster.routed("resnet@50ms") == ["b0", "b1"]
    cluster.kill("b1")
    cluster.step(1)
    assert cluster.routed("resnet@50ms") == ["b0"]
    cluster.step(3)
    assert cluster.routed("resnet@50ms") == ["b0", "b2"]


def test_scheduler_engine_keeps_the_plan_when_all_backends_vanish_together() -> None:
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT,)))
    cluster.add("b0")
    settled(cluster)
    away = dict(cluster.backends)
    cluster.backends.clear()
    cluster.step(40)
    assert cluster.plan.backend_plan("b0") is not None
    cluster.backends.update(away)
    cluster.step(1)
    assert cluster.routed("resnet@50ms") == ["b0"]


def test_scheduler_engine_drains_before_it_unloads() -> None:
    """A session is removed while a frontend is slow to take up the new table."""
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT, LOOSE)))
    cluster.add("b0")
    settled(cluster)
    cluster.frontend_frozen = True
    cluster.catalogue = catalogue_of((resnet(),), (TIGHT,), version=2)
    cluster.step(6)
    cluster.frontend_frozen = False
    cluster.step(2)
    assert cluster.story == [
        "6s plan b0: resnet@50ms x13, (resnet@100ms)",
        "6s table resnet@50ms -> b0",
        "12s plan b0: resnet@50ms x13",
    ]


def test_scheduler_engine_moves_a_session_without_a_gap() -> None:
    """b0 is drained: its session must be ready elsewhere, or at least not lost meanwhile."""
    busy = Session(model="resnet", slo_us=50_000, expected_rate=1500)
    cluster = VirtualCluster(catalogue_of((resnet(),), (busy,)))
    cluster.add("b0", "b1")
    settled(cluster)
    cluster.rates["resnet@50ms"] = 1500
    cluster.add("b2")
    for _ in range(60):
        cluster.step()
        assert cluster.routed("resnet@50ms")
    assert len(cluster.routed("resnet@50ms")) == 2


def test_scheduler_engine_swaps_models_that_do_not_fit_memory_together() -> None:
    """Each device holds one model; the sessions' models change places without a deadlock."""
    first = resnet("first", memory_bytes=9_000)
    second = resnet("second", memory_bytes=9_000)
    one = Session(model="first", slo_us=50_000, expected_rate=100)
    two = Session(model="second", slo_us=50_000, expected_rate=100)
    cluster = VirtualCluster(catalogue_of((first, second), (one,)))
    cluster.add("b0", memory_bytes=10_000)
    settled(cluster)
    cluster.catalogue = catalogue_of((first, second), (two,), version=2)
    cluster.step(6)
    assert cluster.routed("second@50ms") == ["b0"]
    for backend in cluster.plan.backends:
        assert sum(placement.memory_bytes for placement in backend.placements) <= 10_000


def test_scheduler_engine_says_why_a_session_has_no_route() -> None:
    ghost = Session(model="ghost", slo_us=50_000, expected_rate=1)
    strict = Session(model="resnet", slo_us=10_000, expected_rate=1)
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT, ghost, strict)))
    cluster.add("b0")
    cluster.unloadable.add("resnet@50ms")
    cluster.step(3)
    reasons = {routes.session: routes.infeasible for routes in cluster.table.sessions}
    assert reasons == {
        "resnet@50ms": "resnet failed to load on b0: no such weights",
        "ghost@50ms": "no profile for model ghost on device v100: run `nexus profile ghost`",
        "resnet@10ms": "l(1) = 8.71 ms, 2 l(1) > 10 ms",
    }
    versions = (cluster.plan.version, cluster.table.version)
    cluster.step(10)
    assert (cluster.plan.version, cluster.table.version) == versions


def test_scheduler_engine_squeezes_an_overloaded_cluster_and_says_what_is_unmet() -> None:
    busy = Session(model="resnet", slo_us=50_000, expected_rate=2000)
    cluster = VirtualCluster(catalogue_of((resnet(),), (busy, LOOSE)))
    cluster.add("b0")
    cluster.step(3)
    assert cluster.routed("resnet@50ms") == ["b0"]
    assert cluster.routed("resnet@100ms") == ["b0"]
    assert cluster.plan.devices_needed == {"v100": 3}
    assert cluster.plan.unmet["resnet@50ms"] > 1000


def test_scheduler_engine_scales_up_at_once_and_down_after_a_while() -> None:
    busy = Session(model="resnet", slo_us=50_000, expected_rate=100)
    cluster = VirtualCluster(catalogue_of((resnet(),), (busy,)))
    cluster.add("b0")
    cluster.rates["resnet@50ms"] = 2000
    cluster.step(20)
    assert cluster.scaled[-1] == {"v100": 3}
    cluster.add("b1", "b2")
    cluster.step(5)
    cluster.rates["resnet@50ms"] = 100
    cluster.step(80)
    assert cluster.scaled[-1] == {"v100": 3}
    cluster.step(80)
    assert cluster.scaled[-1] == {"v100": 1}


def test_scheduler_engine_plans_stages_by_their_measured_fan_out() -> None:
    query = Query(
        name="traffic",
        slo_us=400_000,
        expected_rate=100,
        stages=(
            Stage(name="detect", model="detector"),
            Stage(name="car", model="resnet", after=("detect",), fan_out=0.1),
        ),
    )
    cluster = VirtualCluster(catalogue_of((resnet(), resnet("detector")), queries=(query,)))
    cluster.add("b0", "b1", "b2", "b3")
    cluster.rates["traffic"] = 100
    settled(cluster)
    assert cluster.routed("traffic/car")
    cluster.fan_outs = {"traffic/detect": 1.0, "traffic/car": 20.0}
    cluster.step(40)
    assert cluster.engine.fan_outs()["traffic/car"] == pytest.approx(20.0)
    planned = sum(
        placement.rate
        for backend in cluster.plan.backends
        for placement in backend.placements
        if placement.session == "traffic/car"
    )
    assert planned == pytest.approx(2000, rel=0.05)


def test_scheduler_engine_takes_over_without_shrinking_the_cluster() -> None:
    busy = Session(model="resnet", slo_us=50_000, expected_rate=100)
    cluster = VirtualCluster(catalogue_of((resnet(),), (busy,)))
    cluster.add("b0", "b1", "b2")
    cluster.rates["resnet@50ms"] = 1500
    settled(cluster, 40)
    assert cluster.routed("resnet@50ms") == ["b0", "b1"]
    version = cluster.plan.version
    cluster.engine = SchedulerEngine(cluster.planner, cluster.epochs)
    cluster.lead(fence=2)
    for _ in range(20):
        cluster.step()
        assert cluster.routed("resnet@50ms") == ["b0", "b1"]
    assert cluster.plan.version > version
    assert cluster.plan.fence == 2


def test_scheduler_engine_new_leader_waits_for_reports_before_it_believes_absences() -> None:
    """The store was away: its reports have expired, and come back one by one."""
    busy = Session(model="resnet", slo_us=50_000, expected_rate=1500)
    cluster = VirtualCluster(catalogue_of((resnet(),), (busy,)))
    cluster.add("b0", "b1")
    settled(cluster)
    away = {name: cluster.backends.pop(name) for name in ("b0", "b1")}
    cluster.engine = SchedulerEngine(cluster.planner, cluster.epochs)
    cluster.lead(fence=2)
    cluster.step()
    assert cluster.engine.next_wakeup_us() is None
    cluster.backends["b1"] = away["b1"]
    cluster.step()
    assert cluster.routed("resnet@50ms") == ["b0", "b1"]
    assert cluster.story == []
    cluster.backends["b0"] = away["b0"]
    cluster.step()
    assert cluster.routed("resnet@50ms") == ["b0", "b1"]
    assert cluster.plan.fence == 2


def test_scheduler_engine_leader_that_could_not_look_waits_for_reports() -> None:
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT,)))
    cluster.add("b0")
    settled(cluster)
    away = dict(cluster.backends)
    cluster.backends.clear()
    cluster.now_s += 3
    cluster.step(2)
    assert cluster.routed("resnet@50ms") == ["b0"]
    cluster.backends.update(away)
    cluster.step(3)
    assert cluster.routed("resnet@50ms") == ["b0"]
    assert not any("nowhere" in line for line in cluster.story)


def test_scheduler_engine_new_leader_believes_an_absence_in_the_end() -> None:
    busy = Session(model="resnet", slo_us=50_000, expected_rate=1500)
    cluster = VirtualCluster(catalogue_of((resnet(),), (busy,)))
    cluster.add("b0", "b1")
    settled(cluster)
    cluster.kill("b1")
    cluster.engine = SchedulerEngine(cluster.planner, cluster.epochs)
    cluster.lead(fence=2)
    cluster.step(3)
    assert cluster.routed("resnet@50ms") == ["b0", "b1"]
    cluster.step(1)
    assert cluster.routed("resnet@50ms") == ["b0"]


def test_scheduler_engine_does_nothing_without_the_lease() -> None:
    cluster = VirtualCluster(catalogue_of((resnet(),), (TIGHT,)))
    cluster.add("b0")
    assert cluster.engine.handle(LeaseLost(), 0) == ()
    cluster.step(5)
    assert cluster.story == []
    assert cluster.engine.next_wakeup_us() is None
    assert cluster.engine.handle(Tick(), cluster.now_us) == ()
