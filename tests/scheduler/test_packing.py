"""Squishy bin packing holds its constraints, covers every rate, and comes close to the optimum."""

import math
import random

import pytest
from hypothesis import given

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile, linear_profile
from nexus.scheduler.backend_plans import as_backend_plan
from nexus.scheduler.demand import Demand
from nexus.scheduler.packing import alone_node, merge, pack_device
from tests.scheduler.planning_cases import (
    DEVICE,
    assert_node_feasible,
    demand_lists,
    demand_of,
    fewest_devices,
    random_residues,
)


@pytest.mark.parametrize("search", [False, True])
@given(demands=demand_lists())
def test_packing_is_feasible_and_covers_every_rate(demands: list[Demand], search: bool) -> None:
    nodes = pack_device(demands, DEVICE, search=search)
    rates = dict.fromkeys((demand.name for demand in demands), 0.0)
    for node in nodes:
        assert_node_feasible(node)
        for demand in node.demands:
            rates[demand.name] += demand.rate
    for demand in demands:
        assert rates[demand.name] == pytest.approx(demand.rate, rel=1e-5)


@given(demands=demand_lists())
def test_packing_uses_no_more_devices_than_one_for_each_session(demands: list[Demand]) -> None:
    alone = sum(math.ceil(demand.rate / demand.throughput) for demand in demands)
    assert len(pack_device(demands, DEVICE, search=True)) <= alone


def optimality(seed: int, problems: int) -> tuple[float, float]:
    """Mean excess over the optimum, and the share of problems solved optimally."""
    rng = random.Random(seed)
    found = best = optimal = 0
    for _ in range(problems):
        residues = random_residues(rng, 9)
        devices = len(pack_device(residues, DeviceSpec(type="gpu"), search=True, divide=False))
        fewest = fewest_devices(residues)
        assert devices >= fewest
        found, best, optimal = found + devices, best + fewest, optimal + (devices == fewest)
    return found / best - 1, optimal / problems


def test_packing_is_within_2_percent_of_the_optimum_on_9_sessions() -> None:
    excess, optimal = optimality(seed=1, problems=100)
    assert excess <= 0.02
    assert optimal >= 0.90


def test_packing_places_a_session_whose_requests_are_rarer_than_its_slo() -> None:
    profile = linear_profile("m", "gpu", 1_000, 9_000, 32)
    node = alone_node(demand_of(profile, slo_us=100_000, rate=0.5), DEVICE)
    assert (node.batches, node.duty_cycle_us) == ((1,), 90_000)


def test_packing_counts_shared_weights_once() -> None:
    profile = Profile(model="m", device="gpu", latencies_us=(1_000,) * 8, memory_bytes=9_000)
    demands = [demand_of(profile, slo_us=slo, rate=10) for slo in (50_000, 60_000)]
    nodes = pack_device(demands, DEVICE, search=True)
    assert [as_backend_plan(node).memory_bytes for node in nodes] == [9_000]


def test_packing_separates_models_that_do_not_fit_the_memory_together() -> None:
    demands = [
        demand_of(
            Profile(model=name, device="gpu", latencies_us=(1_000,) * 8, memory_bytes=9_000),
            slo_us=50_000,
            rate=10,
        )
        for name in ("a", "b")
    ]
    assert len(pack_device(demands, DEVICE, search=True)) == 2


def test_packing_survives_float_noise_in_rate_times_duty_cycle() -> None:
    # 0.1 * 3 = 0.30000000000000004: a naive ceil makes 4 of 3 requests, and 2 devices of 1.
    profile = Profile(model="m", device="gpu", latencies_us=(10_000, 20_000, 30_000, 300_000))
    demand = demand_of(profile, slo_us=60_000, rate=100.00000000000001)
    nodes = pack_device([demand], DEVICE, search=False)
    assert [node.batches for node in nodes] == [(3,)]


def test_packing_runs_a_batch_as_a_larger_one_where_that_is_faster() -> None:
    profile = Profile(model="m", device="gpu", latencies_us=(6_300, 14_500, 9_000, 20_600))
    demand = demand_of(profile, slo_us=60_000, rate=60.0)
    other = demand_of(
        Profile(model="n", device="gpu", latencies_us=(5_000,) * 4), slo_us=45_000, rate=50.0
    )
    merged = merge(alone_node(demand, DEVICE), alone_node(other, DEVICE))
    assert merged is not None
    assert_node_feasible(merged)
    assert 2 not in merged.batches[:1]
