"""Runs that are given up, and those that are not."""

from dataclasses import replace

import pytest

from benchmarks.evaluation.cases import LIMIT_MODELS, at_limit
from nexus.scheduler.scenario import Scenario
from nexus.simulator.arrivals import ArrivalKind, Arrivals
from nexus.simulator.hopeless import HopelessRunError, bad_max, requests_max
from nexus.simulator.policies import simulate_policy
from nexus.simulator.simulated_cluster import SimulationSettings

LIMIT = at_limit(LIMIT_MODELS[0], 2, frontends=1)


def offered(share: float) -> Scenario:
    return replace(LIMIT.scaled(share), duration_us=3_000_000)


@pytest.mark.parametrize("policy", ["default", "nexus-paper"])
def test_hopeless_run_ends_early_and_names_the_session(policy: str) -> None:
    settings = SimulationSettings(seed=1, good_min=0.99)
    with pytest.raises(HopelessRunError, match="resnet50-1080ti"):
        simulate_policy(offered(1.5), policy, settings)


@pytest.mark.parametrize("policy", ["default", "nexus-paper"])
def test_run_that_keeps_its_promise_is_the_same(policy: str) -> None:
    whole = simulate_policy(offered(0.3), policy, SimulationSettings(seed=1))
    watched = simulate_policy(offered(0.3), policy, SimulationSettings(seed=1, good_min=0.99))
    assert whole == watched
    assert whole.worst >= 0.99


def test_bad_max_is_a_share_of_all_that_may_come() -> None:
    (allowed,) = bad_max(offered(1.0), 0.99).values()
    assert 0.01 * 4495 < allowed < 0.012 * 4495
    assert bad_max(offered(1.0), 0.0) == {}


def test_requests_max_counts_the_highest_rate() -> None:
    steady = requests_max(Arrivals(rate=100), 10_000_000)
    stepped = Arrivals(rate=100, kind=ArrivalKind.STEP, factor=3)
    waves = Arrivals(rate=100, kind=ArrivalKind.DIURNAL, amplitude=0.5)
    assert 1000 < steady < 1200
    assert requests_max(stepped, 10_000_000) > 3000
    assert 1500 < requests_max(waves, 10_000_000) < 2000
    trace = Arrivals(rate=0, kind=ArrivalKind.TRACE, trace_us=(1, 2, 3))
    assert requests_max(trace, 10_000_000) == 3
