"""Several device types, too few devices: who goes where, and what is said about the rest."""

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile, linear_profile
from nexus.core.session import Session, SessionLoad
from nexus.scheduler.planner import Planned, Workload, make_plan
from nexus.scheduler.settings import NEXUS, PlannerSettings
from tests.scheduler.planning_cases import assert_node_feasible


def profile_of(model: str, device: str, alpha_ms: float, beta_ms: float, mb: int = 0) -> Profile:
    return linear_profile(
        model, device, alpha_ms * 1000, beta_ms * 1000, 64, memory_bytes=mb * 1_000_000
    )


def plan(
    devices: tuple[DeviceSpec, ...],
    profiles: list[Profile],
    *loads: tuple[str, int, float],
    settings: PlannerSettings = NEXUS,
) -> Planned:
    """``loads`` are (model, SLO in ms, rate)."""
    by_key = {(profile.model, profile.device): profile for profile in profiles}
    return make_plan(
        Workload(
            devices=devices,
            profile=lambda model, device: by_key.get((model, device)),
            sessions=tuple(
                SessionLoad(Session(model=model, slo_us=slo_ms * 1000), rate)
                for model, slo_ms, rate in loads
            ),
        ),
        settings,
    )


OWN_DEVICES = PlannerSettings(headroom=1.0, pools=None)
FAST_AND_SLOW = [profile_of("m", "fast", 1, 9), profile_of("m", "slow", 4, 30)]


def test_fleet_prefers_the_type_with_the_lower_price_per_throughput() -> None:
    fast, slow = DeviceSpec(type="fast", price=2.0), DeviceSpec(type="slow", price=1.0)
    assert plan((fast, slow), FAST_AND_SLOW, ("m", 200, 100)).devices_needed == {"fast": 1}
    dear = DeviceSpec(type="fast", price=20.0)
    assert plan((dear, slow), FAST_AND_SLOW, ("m", 200, 100)).devices_needed == {"slow": 1}


def test_fleet_puts_the_last_device_on_a_cheaper_type_that_can_do_the_same() -> None:
    """Full, a fast device is cheaper per item; for a residue a slow one at half the price does."""
    devices = (DeviceSpec(type="fast", price=2.0), DeviceSpec(type="slow", price=1.0))
    assert plan(devices, FAST_AND_SLOW, ("m", 200, 950)).devices_needed == {"fast": 2}
    freely = plan(devices, FAST_AND_SLOW, ("m", 200, 950), settings=OWN_DEVICES)
    assert freely.devices_needed == {"fast": 1, "slow": 1}
    assert freely.unmet == {}
    for node in freely.nodes:
        assert_node_feasible(node)
    taken = (devices[0], DeviceSpec(type="slow", price=1.0, count=0))
    assert plan(taken, FAST_AND_SLOW, ("m", 200, 950), settings=OWN_DEVICES).devices_needed == {
        "fast": 2
    }


def test_fleet_spills_to_the_next_type_when_a_count_is_reached() -> None:
    devices = (DeviceSpec(type="fast", count=1), DeviceSpec(type="slow", price=5.0))
    planned = plan(devices, FAST_AND_SLOW, ("m", 200, 1200))
    assert planned.devices_needed["fast"] == 1
    assert planned.devices_needed["slow"] >= 1
    assert planned.unmet == {}


def test_fleet_uses_the_type_that_alone_meets_the_slo() -> None:
    devices = (DeviceSpec(type="fast", price=100.0), DeviceSpec(type="slow"))
    planned = plan(devices, FAST_AND_SLOW, ("m", 40, 10))
    assert planned.devices_needed == {"fast": 1}


def test_fleet_names_the_reason_on_every_type() -> None:
    devices = (DeviceSpec(type="fast"), DeviceSpec(type="slow"))
    (entry,) = plan(devices, FAST_AND_SLOW, ("m", 10, 10)).infeasible
    assert entry.session == "m@10ms"
    assert entry.reason.startswith(
        "on fast: l(1) = 10 ms, 2 l(1) > 10 ms; on slow: l(1) = 34 ms, 2 l(1) > 10 ms"
    )


def test_fleet_names_a_model_too_large_for_the_device() -> None:
    device = DeviceSpec(type="fast", memory_bytes=16_000_000_000)
    (entry,) = plan((device,), [profile_of("m", "fast", 1, 9, mb=20_000)], ("m", 100, 1)).infeasible
    assert entry.reason == "m needs 20000 MB, fast has 16000 MB"


def test_fleet_squeezes_all_sessions_alike_when_too_small() -> None:
    profiles = [profile_of(name, "gpu", 1, 9) for name in "abc"]
    loads = [(name, 100, 600.0) for name in "abc"]
    planned = plan((DeviceSpec(type="gpu", count=1),), profiles, *loads)
    assert planned.devices_needed == {"gpu": 3}
    assert set(planned.unmet) == {"a@100ms", "b@100ms", "c@100ms"}
    for node in planned.nodes:
        assert_node_feasible(node)
    (node,) = planned.nodes
    assert {demand.name for demand in node.demands} == set(planned.unmet)
    assert node.occupancy > 0.85, "an overloaded device is kept busy"
    rates = [demand.rate for demand in node.demands]
    assert min(rates) == pytest.approx(max(rates))


def test_fleet_leaves_out_by_name_what_finds_no_room_at_all() -> None:
    device = DeviceSpec(type="gpu", count=1, memory_bytes=10_000_000)
    profiles = [profile_of(name, "gpu", 1, 9, mb=6) for name in "ab"]
    planned = plan((device,), profiles, ("a", 100, 50), ("b", 100, 50))
    assert len(planned.nodes) == 1
    assert [session.model for session in planned.unplaced] == ["b"]
    assert planned.unmet == {"b@100ms": 50}


def test_fleet_of_no_devices_places_nothing_and_says_how_many_are_missing() -> None:
    planned = plan(
        (DeviceSpec(type="gpu", count=0),), [profile_of("a", "gpu", 1, 9)], ("a", 100, 50)
    )
    assert (planned.nodes, planned.devices_needed) == ((), {"gpu": 1})
    assert planned.unmet == {"a@100ms": 50}
