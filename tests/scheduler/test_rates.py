"""Rates from grow-only counters: nothing is lost with a report, nothing doubled with a restart."""

import pytest

from nexus.core.cluster import FrontendReport, StageCount
from nexus.core.units import US_PER_S
from nexus.scheduler.fan_out import FanOutEstimator
from nexus.scheduler.rates import RateEstimator


def report(
    count: int, at_s: float, *, frontend: str = "f0", incarnation: int = 1
) -> FrontendReport:
    return FrontendReport(
        frontend=frontend,
        incarnation=incarnation,
        address="",
        at_us=round(at_s * US_PER_S),
        arrivals={"s": count},
    )


def observed(reports: list[FrontendReport], rates: RateEstimator | None = None) -> RateEstimator:
    rates = rates or RateEstimator()
    for entry in reports:
        rates.observe([entry], entry.at_us)
    return rates


def test_rate_of_a_steady_stream_is_known_after_two_reports() -> None:
    assert observed([report(0, 0), report(100, 1)]).rate("s") == pytest.approx(100)


def test_rate_falls_with_a_time_constant_of_ten_seconds() -> None:
    rates = observed([report(0, 0)] + [report(200 * s, s) for s in range(1, 101)])
    observed([report(20_000 + 100 * s, 100 + s) for s in range(1, 11)], rates)
    assert rates.rate("s") == pytest.approx(100 + 100 / 2.71828, rel=0.01)


def test_rate_sees_a_step_up_within_seconds() -> None:
    rates = observed([report(0, 0)] + [report(100 * s, s) for s in range(1, 101)])
    observed([report(10_000 + 200 * s, 100 + s) for s in range(1, 5)], rates)
    assert rates.rate("s") > 180


def test_rate_is_the_same_with_reports_lost() -> None:
    every = observed([report(50 * s, s) for s in range(30)])
    some = observed([report(50 * s, s) for s in (0, 1, 9, 10, 29)])
    assert some.rate("s") == pytest.approx(every.rate("s"))


def test_rate_ignores_a_report_seen_twice() -> None:
    rates = observed([report(0, 0), report(100, 1)])
    rates.observe([report(100, 1)], 2 * US_PER_S)
    assert rates.rate("s") == pytest.approx(100)


def test_rate_of_a_restarted_frontend_is_not_negative_and_not_counted_twice() -> None:
    rates = observed([report(100 * s, s) for s in range(60)])
    for second in range(60):
        rates.observe([report(100 * second, second, incarnation=2)], (60 + second) * US_PER_S)
        assert 0 < rates.rate("s") < 210
    assert rates.rate("s") == pytest.approx(100, rel=0.01)


def test_rate_sums_frontends_and_a_vanished_one_fades() -> None:
    rates = RateEstimator()
    for second in range(30):
        reports = [report(10 * second, second, frontend=name) for name in ("f0", "f1")]
        rates.observe(reports, second * US_PER_S)
    assert rates.rate("s") == pytest.approx(20)
    for second in range(30, 40):
        rates.observe([report(10 * second, second)], second * US_PER_S)
    assert 10 < rates.rate("s") < 15
    for second in range(40, 200):
        rates.observe([report(10 * second, second)], second * US_PER_S)
    assert rates.rate("s") == pytest.approx(10, abs=0.01)


def test_rate_of_an_unknown_session_is_zero_and_unwatched() -> None:
    rates = observed([report(0, 0), report(5, 1)])
    assert rates.rate("other") == 0
    assert rates.watched_us("other", US_PER_S) == 0
    assert rates.watched_us("s", 3 * US_PER_S) == 3 * US_PER_S


def stage_report(calls: int, parents: int, at_s: int) -> FrontendReport:
    return FrontendReport(
        frontend="f0",
        incarnation=1,
        address="",
        at_us=at_s * US_PER_S,
        stages={"q/car": StageCount(calls, parents)},
    )


def test_fan_out_needs_a_minimum_of_parent_calls() -> None:
    fan_outs = FanOutEstimator()
    fan_outs.observe([stage_report(0, 0, 0)], 0)
    fan_outs.observe([stage_report(30, 10, 1)], US_PER_S)
    assert fan_outs.fan_out("q/car") is None
    fan_outs.observe([stage_report(90, 30, 2)], 2 * US_PER_S)
    assert fan_outs.fan_out("q/car") == pytest.approx(3.0)
    assert fan_outs.measured() == {"q/car": pytest.approx(3.0)}


def test_fan_out_forgets_old_scenes() -> None:
    fan_outs = FanOutEstimator()
    for second in range(120):
        fan_outs.observe([stage_report(30 * second, 10 * second, second)], second * US_PER_S)
    calls, parents = 30 * 119, 10 * 119
    for second in range(1, 120):
        fan_outs.observe(
            [stage_report(calls, parents + 10 * second, 119 + second)], (119 + second) * US_PER_S
        )
    assert fan_outs.fan_out("q/car") == pytest.approx(0.0, abs=0.1)


def test_fan_out_does_not_take_a_restart_for_calls() -> None:
    fan_outs = FanOutEstimator()
    fan_outs.observe([stage_report(1000, 10, 5)], 0)
    fan_outs.observe([stage_report(1000, 10, 5)], US_PER_S)
    assert fan_outs.fan_out("q/car") is None
