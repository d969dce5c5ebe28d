"""Searches, cases and what is read out of runs."""

import math
from dataclasses import replace

import pytest

from benchmarks.evaluation.cases import LIMIT_MODELS, at_limit, random_mix, scenario
from benchmarks.evaluation.effort import QUICK
from benchmarks.evaluation.experiments.load_changes import bad_after, recovery_s
from benchmarks.evaluation.experiments.overload import Runs, kept_share, worst_share
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import (
    FACTOR_MIN,
    WARM_UP_US,
    Case,
    Run,
    decided,
    find_capacity,
    from_above,
    lasting,
    run_case,
)
from nexus.simulator.baselines import baseline_run

BRIEF = replace(QUICK, short=400, long=600)


def case(devices: int = 1, policy: str = "nexus-paper") -> Case:
    return Case(scenario=at_limit(LIMIT_MODELS[0], devices), policy=policy)


@pytest.mark.parametrize(("index", "limit"), [(0, 749.2), (1, 1120.9), (2, 750.0)])
def test_linear_limit_is_the_best_batch_within_the_slo(index: int, limit: float) -> None:
    assert LIMIT_MODELS[index].limit == pytest.approx(limit, abs=0.1)


def test_at_limit_offers_the_hard_limit() -> None:
    offered = at_limit(LIMIT_MODELS[0], 8, frontends=4, cv=3)
    (entry,) = offered.sessions
    assert entry.rate == pytest.approx(8 * LIMIT_MODELS[0].limit)
    assert (offered.frontends, offered.devices[0].count) == (4, 8)
    assert (entry.arrivals.kind, entry.arrivals.parameters) == ("bursty", {"cv": 3})


@pytest.mark.parametrize("number", range(10))
def test_random_mix_is_the_same_every_time_and_fills_its_devices(number: int) -> None:
    mix = random_mix(number)
    assert mix == random_mix(number)
    assert 2 <= len(mix.sessions) <= 8
    assert len({entry.session.name for entry in mix.sessions}) == len(mix.sessions)


def test_lasting_is_long_enough_for_the_requests_and_the_slo() -> None:
    slow = at_limit(LIMIT_MODELS[2], 1).scaled(0.01)
    assert lasting(slow, 10_000).duration_us == 60_500_000
    busy = at_limit(LIMIT_MODELS[0], 8)
    assert lasting(busy, 1).duration_us == 1_500_000


def test_lasting_is_longer_for_bursts_and_for_rare_sessions() -> None:
    usual, bursty = (
        lasting(at_limit(LIMIT_MODELS[0], 8, cv=cv), 20_000).duration_us - WARM_UP_US
        for cv in (1.0, 2.0)
    )
    assert bursty == pytest.approx(4 * usual, rel=1e-3)
    models = [replace(LIMIT_MODELS[1], name=name) for name in ("often", "rare")]
    both = scenario("both", models, {"often": 990.0, "rare": 10.0}, 2)
    assert lasting(both, 10_000).duration_us - WARM_UP_US == 20_000_000


def test_find_capacity_of_one_device_is_below_the_limit_and_above_half_of_the_rule() -> None:
    found = find_capacity(case(), BRIEF)
    assert not found.error
    assert 0.3 < found.factor < 1
    assert found.run is not None
    assert found.run.worst >= 0.99
    assert found.goodput == pytest.approx(found.factor * LIMIT_MODELS[0].limit, rel=0.15)


def test_find_capacity_says_what_went_wrong() -> None:
    found = find_capacity(case(policy="no-such-policy"), BRIEF)
    assert found.factor == 0
    assert "no-such-policy" in found.error


def test_run_case_counts_by_second() -> None:
    busy = replace(at_limit(LIMIT_MODELS[0], 1).scaled(0.3), duration_us=4_500_000)
    run = run_case(Case(scenario=busy, policy="nexus-paper"))
    assert len(run.offered_by_second) == len(run.good_by_second) == 4
    assert sum(run.offered_by_second) == run.requests
    assert run.goodput == pytest.approx(sum(run.good_by_second) / 4)


def test_lab_measures_the_same_case_once() -> None:
    lines: list[str] = []
    lab = Lab(BRIEF, 1, lines.append)
    first, second = lab.capacities([case(), case()])
    assert first == second
    assert lab.capacities([case()]) == [first]
    assert len(lines) == 1


def test_lab_call_that_fails_does_not_stop_the_others() -> None:
    lab = Lab(BRIEF, 1, lambda _line: None)
    answers = lab.calls({"bad": never, "good": always})
    assert answers["bad"].error == "ValueError: never"
    assert answers["good"].value == 7


def never() -> int:
    raise ValueError("never")


def always() -> int:
    return 7


def test_recovery_is_the_end_of_the_last_bad_second() -> None:
    run = Run(offered_by_second=(100,) * 8, good_by_second=(100, 100, 100, 90, 100, 98, 100, 100))
    assert recovery_s(run, 3) == 3
    assert recovery_s(run, 6) == 0
    assert bad_after(run, 3) == pytest.approx(12 / 500)
    assert math.isnan(recovery_s(Run(error="x"), 3))


def test_overload_shares_are_relative_to_capacity() -> None:
    at_capacity = Run(goodput=100.0, goods=(1.0, 0.99))
    at_twice = Run(goodput=95.0, goods=(0.6, 0.2))
    runs: Runs = {"default": {1.0: at_capacity, 2.0: at_twice}}
    assert kept_share(runs["default"], 2.0) == 0.95
    assert worst_share(runs["default"], 2.0) == pytest.approx(0.4 / 0.99)


def test_decided_climbs_while_it_holds_and_descends_while_it_does_not() -> None:
    up = decided(lambda factor: factor <= 0.8, 0.7, 1.02)
    down = decided(lambda factor: factor <= 0.8, 0.85, 1.02)
    assert 0.8 / 1.02 < up <= 0.8
    assert 0.8 / 1.02 < down <= 0.8
    assert decided(lambda _factor: False, 0.7, 1.02) < FACTOR_MIN * 1.02


def test_from_above_finds_what_a_bisection_misses() -> None:
    assert 0.5 < from_above(lambda factor: 0.5 < factor < 0.6, 1.1) < 0.6


def test_find_capacity_is_the_same_whether_hopeless_runs_are_given_up_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = find_capacity(case(), BRIEF)
    monkeypatch.setattr(baseline_run, "bad_max", lambda _scenario, _good_min: {})
    assert found.factor == find_capacity(case(), BRIEF).factor
