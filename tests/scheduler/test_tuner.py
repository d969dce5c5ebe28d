"""The tuner: a step is seen within a second or two, noise is not, whatever its shape."""

import random
from collections.abc import Callable

import pytest

from nexus.core.cluster import FrontendReport, StageCount
from nexus.core.units import US_PER_S
from nexus.scheduler.envelope import Recent, Spread, remembered, window_rates
from nexus.scheduler.tuner import Hold, alerted, evidence, floors, held, surges

HIGH = 1.1


def report(at_s: float, frontend: str = "f0", calls: int = 0, **arrivals: int) -> FrontendReport:
    return FrontendReport(
        frontend=frontend,
        incarnation=1,
        address="",
        at_us=round(at_s * US_PER_S),
        arrivals=arrivals | ({"q/car": calls} if calls else {}),
        stages={"q/car": StageCount(calls, 0)} if calls else {},
    )


def seen(*reports: FrontendReport) -> Recent:
    recent: Recent = {}
    for entry in reports:
        recent = remembered(recent, (entry,))
    return recent


def poisson(rng: random.Random, mean: float) -> int:
    """Knuth's method on pieces that are small enough for it."""
    count = 0
    while mean > 0:
        piece = min(mean, 50.0)
        limit, product = 2.718281828459045**-piece, rng.random()
        while product > limit:
            count += 1
            product *= rng.random()
        mean -= piece
    return count


def alarms(
    rate_at: Callable[[int], float], planned: float, seconds: int, size: int = 1
) -> list[int]:
    """The seconds in which a stream (``size`` items a request) looks like a surge."""
    rng = random.Random(3)
    recent: Recent = {}
    spread, total, found = Spread(), 0, []
    for second in range(seconds):
        total += size * poisson(rng, rate_at(second) / size)
        recent = remembered(recent, (report(second, s=total),))
        if surges({"s": planned}, recent, spread, rate_high=HIGH):
            found.append(second)
        spread = spread.after(window_rates(recent, US_PER_S), second * US_PER_S)
    return found


def test_window_rates_sum_frontends_and_count_calls() -> None:
    recent: Recent = {}
    for second in range(7):
        recent = remembered(
            recent,
            (
                report(second, s=100 * second),
                report(second + 0.3, "f1", calls=1 + 20 * second, s=50 * second),
            ),
        )
    assert window_rates(recent, US_PER_S) == pytest.approx({"s": 150.0, "q/car": 20.0})
    assert window_rates(recent, 5 * US_PER_S) == pytest.approx({"s": 150.0, "q/car": 20.0})


def test_window_rates_do_not_depend_on_when_reports_come() -> None:
    """A late report counts over the time it covers: it is not a burst."""
    recent = seen(report(0, s=0), report(1.4, s=140), report(1.9, s=190), report(3.0, s=300))
    assert window_rates(recent, US_PER_S) == pytest.approx({"s": 100.0})
    assert window_rates(recent, 5 * US_PER_S) == {}


def test_window_rates_forget_a_frontend_that_has_gone() -> None:
    recent = seen(report(0, s=0), report(1, s=500))
    recent = remembered(recent, (report(1, "f1", s=0),))
    assert window_rates(recent, US_PER_S) == {}


def test_surge_of_half_is_seen_in_the_first_second_and_a_fifth_within_five() -> None:
    assert alarms(lambda s: 600 if s >= 30 else 400, 400, 40)[0] == 30
    assert 30 <= alarms(lambda s: 480 if s >= 30 else 400, 400, 40)[0] < 35


@pytest.mark.parametrize("rate", [0.5, 5, 50, 500])
def test_surge_is_not_found_in_poisson_noise(rate: float) -> None:
    assert alarms(lambda _: rate, rate, 1000) == []


def test_surge_is_not_found_where_items_come_in_bunches() -> None:
    """20 crops a frame: the noise of a second is sqrt(20) times that of single requests."""
    found = alarms(lambda _: 400, 400, 600, size=20)
    assert [second for second in found if second > 20] == []


def test_surge_below_the_tolerance_is_left_to_the_epoch() -> None:
    assert alarms(lambda _: 10_300, 10_000, 60) == []


def test_surge_takes_the_rate_of_the_highest_window() -> None:
    counts = [0, 400, 800, 1200, 1600, 2000, 2700]
    recent = seen(*(report(second, s=count) for second, count in enumerate(counts)))
    assert surges({"s": 400.0}, recent, Spread(), rate_high=HIGH) == {"s": pytest.approx(700)}


def test_surge_just_after_another_needs_less() -> None:
    recent = seen(report(0, s=0), report(1, s=118))
    assert not surges({"s": 90.0}, recent, Spread(), rate_high=HIGH)
    assert not surges({"other": 90.0}, recent, Spread(), rate_high=HIGH)
    recent = seen(report(0, s=0), report(1, s=120))
    assert surges({"s": 90.0}, recent, Spread(), rate_high=HIGH, alert={"s"})


def test_evidence_grows_with_surprise() -> None:
    assert evidence(90, 100) == 0
    assert evidence(100, 0) == float("inf")
    z = 4
    assert evidence(10_000 + z * 100, 10_000) == pytest.approx(z * z / 2, rel=0.02)
    assert evidence(3, 1) < evidence(6, 1)


def test_hold_keeps_the_highest_rate_until_it_expires() -> None:
    holds = held({}, {"s": 600.0}, 0, 20)
    holds = held(holds, {"s": 500.0}, 5, 20)
    assert holds == {"s": Hold(600.0, 5, 25)}
    assert floors(holds, 24) == {"s": 600.0}
    assert floors(holds, 25) == {}
    assert held(holds, {}, 25, 20) == {}


def test_hold_is_alert_for_the_longest_window() -> None:
    holds = held({}, {"s": 600.0}, 0, 20 * US_PER_S)
    assert alerted(holds, 5 * US_PER_S) == {"s"}
    assert alerted(holds, 6 * US_PER_S) == frozenset()


def test_spread_measures_bunches_and_forgets_a_step() -> None:
    rng, spread = random.Random(1), Spread()
    for second in range(200):
        spread = spread.after(
            {"one": poisson(rng, 100), "ten": 10 * poisson(rng, 10)}, second * US_PER_S
        )
    assert spread.dispersion("one") < 2
    assert 5 < spread.dispersion("ten") < 20
    for second in range(200, 300):
        spread = spread.after({"one": 100 + poisson(rng, 100), "ten": 0.0}, second * US_PER_S)
    assert spread.dispersion("one") < 2
