"""Slack goes to larger batches and shorter cycles, and breaks no constraint."""

from hypothesis import given

from nexus.core.profile import linear_profile
from nexus.scheduler.demand import Demand
from nexus.scheduler.packing import alone_node, merge, pack_device
from nexus.scheduler.slack import with_slack_spent
from tests.scheduler.planning_cases import (
    DEVICE,
    assert_node_feasible,
    demand_lists,
    demand_of,
)


@given(demands=demand_lists())
def test_slack_keeps_every_node_feasible_and_no_slower(demands: list[Demand]) -> None:
    for node in pack_device(demands, DEVICE, search=True):
        spent = with_slack_spent(node)
        assert_node_feasible(spent)
        assert spent.demands == node.demands
        assert spent.duty_cycle_us <= node.duty_cycle_us


def test_slack_lets_two_requests_that_come_together_share_a_batch() -> None:
    """25/s in a cycle of 40 ms is one request on average, and often two."""
    profile = linear_profile("m", "gpu", 750, 7_960, 64)
    packed = alone_node(demand_of(profile, slo_us=50_000, rate=25), DEVICE)
    assert packed.batches == (1,)
    assert with_slack_spent(packed).batches[0] >= 3


def test_slack_goes_to_the_session_that_needs_it_most() -> None:
    rare = alone_node(
        demand_of(linear_profile("rare", "gpu", 750, 7_960, 64), slo_us=60_000, rate=20), DEVICE
    )
    steady = alone_node(
        demand_of(linear_profile("steady", "gpu", 250, 8_410, 64), slo_us=90_000, rate=500), DEVICE
    )
    packed = merge(rare, steady)
    assert packed is not None
    spent = with_slack_spent(packed)
    arrivals = [d.rate * spent.duty_cycle_us / 1e6 for d in spent.demands]
    margins = [
        (batch - mean) / mean**0.5 for batch, mean in zip(spent.batches, arrivals, strict=True)
    ]
    assert min(margins) > 2


def test_slack_leaves_a_saturated_device_alone() -> None:
    profile = linear_profile("m", "gpu", 1_000, 9_000, 64)
    demand = demand_of(profile, slo_us=100_000, rate=1.0)
    (node,) = pack_device([demand.at_rate(demand.throughput)], DEVICE, search=True)
    assert with_slack_spent(node) == node
