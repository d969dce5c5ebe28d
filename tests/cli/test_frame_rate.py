"""The demo's frame rate: the plan accepts it, and would not accept much more."""

import pytest

from nexus.cli.frame_rate import RATE_MAX, SAFETY_SHARE, DevicesAtHand, choose_frame_rate
from nexus.core.errors import InfeasibleError
from nexus.core.profile import Profile
from nexus.core.query import Query, Stage
from nexus.scheduler.settings import PlannerSettings

QUERY = Query(
    name="q",
    slo_us=1_500_000,
    stages=(
        Stage(name="detect", model="d"),
        Stage(name="look", model="l", after=("detect",), fan_out=2.0),
    ),
)
SETTINGS = PlannerSettings()


def _devices(detect_us: int, look_us: int, count: int = 1) -> DevicesAtHand:
    profiles = {
        model: Profile(
            model=model, device="cpu", latencies_us=tuple(one_us * b for b in range(1, 9))
        )
        for model, one_us in (("d", detect_us), ("l", look_us))
    }
    return DevicesAtHand(type="cpu", count=count, profiles=profiles)


def test_frame_rate_is_a_safe_share_of_what_the_device_can_do() -> None:
    rate = choose_frame_rate(QUERY, _devices(100_000, 50_000), SETTINGS)
    bound = 1 / (0.100 + 2 * 0.050)
    assert 0.4 * bound < rate <= SAFETY_SHARE * bound


def test_frame_rate_grows_with_devices_to_the_cameras_own() -> None:
    one = choose_frame_rate(QUERY, _devices(100_000, 50_000), SETTINGS)
    assert choose_frame_rate(QUERY, _devices(100_000, 50_000, count=2), SETTINGS) > one
    fast = choose_frame_rate(QUERY, _devices(1_000, 100), SETTINGS)
    assert fast == pytest.approx(RATE_MAX * SAFETY_SHARE)


def test_frame_rate_of_a_machine_too_slow_says_why() -> None:
    with pytest.raises(InfeasibleError, match="on 1 x cpu"):
        choose_frame_rate(QUERY, _devices(2_000_000, 50_000), SETTINGS)
