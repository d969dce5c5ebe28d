"""From epoch to epoch: what has not changed does not move, and little moves for what has."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.device import DeviceSpec
from nexus.core.names import BackendName
from nexus.core.plan import BackendPlan
from nexus.core.profile import linear_profile
from nexus.scheduler.demand import Demand
from nexus.scheduler.fleet import Choice, covered, pack_fleet
from nexus.scheduler.hosts import Host
from nexus.scheduler.node import Node
from nexus.scheduler.placement import Placed, place
from nexus.scheduler.retention import retained_fleet
from nexus.scheduler.slack import with_slack_spent
from tests.scheduler.planning_cases import (
    DEVICE,
    assert_node_feasible,
    demand_lists,
    demand_of,
    random_residues,
)

DEVICES = (DEVICE,)


def hosts_with(backends: Sequence[BackendPlan], spare: int) -> list[Host]:
    """The backends of a plan as they have loaded it, and idle ones."""
    loaded = [
        Host(
            plan.backend,
            plan.device,
            frozenset(placement.model for placement in plan.placements),
            frozenset(placement.session for placement in plan.placements),
        )
        for plan in backends
    ]
    return [*loaded, *(Host(f"spare{index:03}", "gpu") for index in range(spare))]


def spent(nodes: Sequence[Node]) -> list[Node]:
    return [with_slack_spent(node) for node in nodes]


def first_plan(choices: Sequence[Choice]) -> tuple[BackendPlan, ...]:
    nodes = spent(pack_fleet(choices, DEVICES, search=True).nodes)
    return place(nodes, [Host(f"b{index:03}", "gpu") for index in range(len(nodes))]).backends


def next_plan(
    backends: Sequence[BackendPlan], choices: Sequence[Choice], spare: int = 0
) -> tuple[list[Node], Placed]:
    nodes = spent(retained_fleet(backends, choices, DEVICES, search=True).nodes)
    return nodes, place(nodes, hosts_with(backends, spare))


def choices_of(demands: Sequence[Demand]) -> list[Choice]:
    return [Choice((demand,)) for demand in demands]


@given(demands=demand_lists())
def test_incremental_plan_is_the_same_when_nothing_changed(demands: list[Demand]) -> None:
    choices = choices_of(demands)
    backends = first_plan(choices)
    _, placed = next_plan(backends, choices, spare=3)
    assert placed.movement_us == 0
    assert placed.backends == backends


@given(demands=demand_lists(), factors=st.lists(st.floats(0.3, 3.0), min_size=7, max_size=7))
def test_incremental_plan_covers_whatever_the_rates_become(
    demands: list[Demand], factors: list[float]
) -> None:
    backends = first_plan(choices_of(demands))
    changed = [d.at_rate(d.rate * factor) for d, factor in zip(demands, factors, strict=False)]
    nodes = retained_fleet(backends, choices_of(changed), DEVICES, search=True).nodes
    for node in spent(nodes):
        assert_node_feasible(node)
    rates = covered(nodes)
    assert rates == {d.name: pytest.approx(d.rate, rel=1e-4) for d in changed}


def moved(before: Sequence[BackendPlan], after: Sequence[BackendPlan]) -> int:
    """How many placements of the plan are on backends that did not have them."""

    def spots(plans: Sequence[BackendPlan]) -> set[tuple[BackendName, str]]:
        return {(plan.backend, p.session) for plan in plans for p in plan.placements}

    return len(spots(after) - spots(before))


def test_incremental_plan_moves_little_when_little_changes() -> None:
    """Of 300 sessions a new one, one that is gone, one of thrice the rate, and a lost device."""
    demands = random_residues(random.Random(3), 301)
    backends = first_plan(choices_of(demands[:300]))
    lost = backends[len(backends) // 2]
    changed = [demands[1].at_rate(3 * demands[1].rate), *demands[2:]]
    left = [plan for plan in backends if plan is not lost]
    nodes, placed = next_plan(left, choices_of(changed), spare=5)
    assert len(nodes) <= len(backends) + 2
    assert moved(backends, placed.backends) <= len(lost.placements) + 6


def test_incremental_plan_uses_the_room_that_slack_had_taken() -> None:
    """A node that runs on unchanged fills its cycle; a newcomer finds the room all the same."""
    demands = [
        demand_of(linear_profile(name, "gpu", 750, 7_960, 64), 100_000, rate, name=name)
        for name, rate in (("a", 300), ("b", 300), ("c", 150))
    ]
    backends = first_plan(choices_of(demands[:2]))
    assert [len(plan.placements) for plan in backends] == [2]
    assert backends[0].occupancy > 0.95
    nodes, _ = next_plan(backends, choices_of(demands), spare=1)
    assert [len(node.demands) for node in nodes] == [3]


def test_placement_of_many_nodes_moves_next_to_nothing_that_could_stay() -> None:
    """Beyond the exact method's size: 400 nodes, every tenth of which lost or gained a session."""
    demands = random_residues(random.Random(4), 2_000)
    device = DeviceSpec(type="gpu")
    backends = place(
        nodes := pack_fleet(choices_of(demands), (device,), search=True).nodes,
        [Host(f"b{index:03}", "gpu") for index in range(len(nodes))],
    ).backends
    changed = [
        replace(node, demands=node.demands[1:], batches=node.batches[1:])
        if index % 10 == 0 and len(node.demands) > 1
        else node
        for index, node in enumerate(nodes)
    ]
    hosts = hosts_with(backends, spare=20)
    random.Random(5).shuffle(hosts)
    placed = place(changed, hosts)
    assert len(nodes) > 400
    assert moved(backends, placed.backends) == 0
    assert placed.movement_us == 0


def test_placement_of_many_nodes_avoids_hosts_that_failed() -> None:
    demands = random_residues(random.Random(6), 1_500)
    nodes = pack_fleet(choices_of(demands), (DeviceSpec(type="gpu"),), search=True).nodes
    names = frozenset(demand.name for demand in demands)
    bad = [Host(f"bad{index:03}", "gpu", failed=names) for index in range(100)]
    good = [Host(f"good{index:03}", "gpu") for index in range(len(nodes))]
    placed = place(nodes, [*bad, *good])
    assert all(plan.backend.startswith("good") for plan in placed.backends)
