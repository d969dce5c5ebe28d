"""A session on several devices leaves the same room on each, and nothing else changes."""

import math

import pytest
from hypothesis import given

from nexus.core.profile import linear_profile
from nexus.scheduler.demand import Demand
from nexus.scheduler.evenness import evened
from nexus.scheduler.fleet import covered
from nexus.scheduler.node import Node
from nexus.scheduler.packing import pack_device
from nexus.scheduler.slack import with_slack_spent
from tests.scheduler.planning_cases import (
    DEVICE,
    assert_node_feasible,
    demand_lists,
    demand_of,
)


def margin(node: Node) -> float:
    """How many standard deviations the batch of the node's first session lies above arrivals."""
    arrivals = node.demands[0].rate * node.duty_cycle_us / 1e6
    return (node.batches[0] - arrivals) / math.sqrt(arrivals)


@given(demands=demand_lists())
def test_evened_keeps_nodes_feasible_and_rates_covered(demands: list[Demand]) -> None:
    thrice = [demand.at_rate(3 * demand.rate) for demand in demands]
    nodes = [with_slack_spent(node) for node in pack_device(thrice, DEVICE, search=True)]
    even = evened(nodes)
    for before, node in zip(nodes, even, strict=True):
        assert_node_feasible(node)
        assert (node.batches, node.duty_cycle_us) == (before.batches, before.duty_cycle_us)
    assert covered(even) == pytest.approx(covered(nodes))
    assert evened(even) == even


def test_evened_takes_from_the_full_device_what_the_other_has_room_for() -> None:
    """Of 500/s the first device would do all it can, 305/s."""
    demand = demand_of(linear_profile("m", "gpu", 1_120, 32_330, 64), slo_us=100_000, rate=500)
    nodes = pack_device([demand], DEVICE, search=True)
    assert margin(nodes[0]) == pytest.approx(0, abs=1e-3)
    first, second = evened(nodes)
    assert first.demands[0].rate < nodes[0].demands[0].rate
    assert margin(first) == pytest.approx(margin(second), rel=1e-3)
    assert margin(first) > 0


def test_evened_leaves_a_session_on_one_device_alone() -> None:
    demand = demand_of(linear_profile("m", "gpu", 1_120, 32_330, 64), slo_us=100_000, rate=200)
    (node,) = pack_device([demand], DEVICE, search=True)
    assert evened([node]) == (node,)
