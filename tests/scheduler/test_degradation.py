"""The degradation ladder: cheaper models before anything is unmet, and back up with care."""

from dataclasses import replace

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.names import declared_session, variant_of
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import Profile, linear_profile
from nexus.core.session import Session, SessionLoad
from nexus.scheduler.degradation import plan_with_ladder, rungs_of, steps_down_only
from nexus.scheduler.planner import Planned, Workload, make_plan
from nexus.scheduler.settings import NEXUS

PROFILES = {
    "large": linear_profile("large", "gpu", 2_000, 6_000, 32),
    "medium": linear_profile("medium", "gpu", 1_000, 4_000, 32),
    "small": linear_profile("small", "gpu", 300, 2_000, 32),
}


def profile(model: str, device: str) -> Profile | None:
    del device
    return PROFILES.get(model)


def session(name: str, *variants: str, slo_us: int = 100_000) -> Session:
    return Session(model="large", slo_us=slo_us, name=name, variants=variants)


def workload(count: int, **rates: float) -> Workload:
    """``able`` has both variants, ``plain`` none; other names one variant, the small model."""
    variants = {"able": ("medium", "small"), "plain": ()}
    return Workload(
        devices=(DeviceSpec(type="gpu", count=count),),
        profile=profile,
        sessions=tuple(
            SessionLoad(session(name, *variants.get(name, ("small",))), rate)
            for name, rate in rates.items()
        ),
    )


def make(wanted: Workload) -> Planned:
    return make_plan(wanted, NEXUS)


def served_by(planned: Planned) -> dict[str, str]:
    """The variant of every session, "" for its own model."""
    names = [load.session.name for load in planned.loads]
    return {declared_session(name): variant_of(name) for name in names}


def test_ladder_is_not_used_while_the_devices_suffice() -> None:
    planned = plan_with_ladder(workload(2, able=300), {}, make)
    assert served_by(planned) == {"able": ""}


def test_ladder_steps_down_no_further_than_it_must() -> None:
    planned = plan_with_ladder(workload(1, able=600), {}, make)
    assert (served_by(planned), planned.unmet) == ({"able": "medium"}, {})
    planned = plan_with_ladder(workload(1, able=1500), {}, make)
    assert (served_by(planned), planned.unmet) == ({"able": "small"}, {})


def test_ladder_takes_the_step_first_that_saves_most() -> None:
    planned = plan_with_ladder(workload(2, big=900, little=100), {}, make)
    assert served_by(planned) == {"big": "small", "little": ""}


def test_ladder_helps_sessions_that_have_none() -> None:
    assert make(workload(2, able=600, plain=300)).unmet.keys() == {"able", "plain"}
    planned = plan_with_ladder(workload(2, able=600, plain=300), {}, make)
    assert served_by(planned)["plain"] == ""
    assert planned.unmet == {}


def test_ladder_leaves_unmet_only_what_no_variant_can_do() -> None:
    planned = plan_with_ladder(workload(1, able=9000), {}, make)
    assert served_by(planned) == {"able": "small"}
    assert planned.unmet.keys() == {"able"}


def test_ladder_serves_an_slo_that_the_model_is_too_slow_for() -> None:
    tight = session("tight", "medium", "small", slo_us=7_000)
    wanted = Workload(
        devices=(DeviceSpec(type="gpu", count=1),),
        profile=profile,
        sessions=(SessionLoad(tight, 10),),
    )
    planned = plan_with_ladder(wanted, {}, make)
    assert (served_by(planned), planned.infeasible) == ({"tight": "small"}, ())


def test_ladder_comes_back_up_only_with_capacity_to_spare() -> None:
    capacity = PROFILES["large"].throughput(22)
    down = {"able": 1}
    planned = plan_with_ladder(workload(1, able=capacity * 0.95), down, make)
    assert served_by(planned) == {"able": "medium"}
    planned = plan_with_ladder(workload(1, able=capacity * 0.85), down, make)
    assert served_by(planned) == {"able": ""}


def test_ladder_between_epochs_goes_down_only() -> None:
    planned = steps_down_only(workload(4, able=10), {"able": 1}, make)
    assert served_by(planned) == {"able": "medium"}


def test_rungs_are_read_from_the_plan_in_force() -> None:
    names = ("able~small", "plain", "gone~small", "other~renamed")
    placements = tuple(
        Placement(session=name, model="m", slo_us=1, batch=1, rate=1.0, latency_us=1)
        for name in names
    )
    plan = BackendPlan(device="gpu", duty_cycle_us=1, occupancy=1.0, placements=placements)
    sessions = (session("able", "medium", "small"), session("plain"), session("other", "small"))
    assert rungs_of([plan], sessions) == {"able": 2}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_ladder_never_leaves_more_unmet_than_without(count: int) -> None:
    rates = {"able": 900.0, "plain": 250.0, "big": 700.0, "little": 40.0}
    without = sum(make(workload(count, **rates)).unmet.values())
    assert sum(plan_with_ladder(workload(count, **rates), {}, make).unmet.values()) <= without


def test_ladder_steps_down_a_session_at_its_most_replicas_and_nobody_else() -> None:
    limited = replace(session("limited", "small"), replicas_max=1)
    wanted = replace(workload(4, able=100), sessions=())
    wanted = replace(
        wanted,
        sessions=(SessionLoad(limited, 700), *workload(4, able=100).sessions),
    )
    planned = plan_with_ladder(wanted, {}, make)
    assert served_by(planned) == {"limited": "small", "able": ""}
