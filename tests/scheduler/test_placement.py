"""Nodes go to backends with the least movement, and re-planning keeps what still fits."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.core.session import Session
from nexus.scheduler.assignment import assign
from nexus.scheduler.fleet import Choice, covered, pack_fleet
from nexus.scheduler.hosts import Host
from nexus.scheduler.needs import LOAD_US_UNKNOWN, SESSION_MOVE_US
from nexus.scheduler.packing import Node, pack_device
from nexus.scheduler.placement import place
from nexus.scheduler.retention import retained_fleet
from tests.scheduler.planning_cases import assert_node_feasible, make_demand

DEVICES = (DeviceSpec(type="gpu"),)


@given(
    costs=st.integers(1, 5).flatmap(
        lambda rows: st.lists(
            st.lists(st.integers(0, 20), min_size=5, max_size=5), min_size=rows, max_size=rows
        )
    )
)
def test_assignment_is_the_cheapest_of_all(costs: list[list[int]]) -> None:
    columns = assign(costs)
    assert len(set(columns)) == len(costs)
    found = sum(costs[row][column] for row, column in enumerate(columns))
    best = min(
        sum(costs[row][column] for row, column in enumerate(order))
        for order in itertools.permutations(range(5), len(costs))
    )
    assert found == best


def choice(name: str, rate: float, slo_ms: int = 100) -> Choice:
    profile = linear_profile(name, "gpu", 1_000, 9_000, 64)
    session = Session(model=name, slo_us=slo_ms * 1000, name=name)
    return Choice((make_demand(session, rate, profile, batch_cap=64, network_us=0),))


def packed(*choices: Choice) -> list[Node]:
    return pack_device([entry.demands[0] for entry in choices], DEVICES[0], search=True)


def test_placement_leaves_models_where_they_are() -> None:
    nodes = packed(choice("a", 700), choice("b", 650), choice("c", 600))
    hosts = [
        Host(f"b{index}", "gpu", frozenset(model), frozenset(model))
        for index, model in enumerate("cab")
    ]
    placed = place(nodes, hosts)
    assert [(plan.backend, plan.placements[0].session) for plan in placed.backends] == [
        ("b0", "c"),
        ("b1", "a"),
        ("b2", "b"),
    ]
    assert placed.movement_us == 0


def test_placement_avoids_a_backend_that_failed_to_load() -> None:
    hosts = [Host("b0", "gpu", failed=frozenset("a")), Host("b1", "gpu")]
    assert place(packed(choice("a", 10)), hosts).backends[0].backend == "b1"


def test_placement_leaves_a_large_pool_where_it_is_when_a_session_joins() -> None:
    """Forty members, all alike before and after, among hundreds of idle backends."""
    names = frozenset("abc")
    members = [Host(f"m{index:02}", "gpu", names, names) for index in range(40)]
    idle = [Host(f"i{index:03}", "gpu") for index in range(400)]
    (node,) = packed(*(choice(name, 10) for name in "abcd"))
    placed = place([node] * 40, [*idle, *members])
    assert {plan.backend for plan in placed.backends} == {host.name for host in members}
    assert placed.movement_us == 40 * (LOAD_US_UNKNOWN + SESSION_MOVE_US)


def retained(before: list[Choice], after: list[Choice]) -> tuple[list[set[str]], list[Node]]:
    """Which sessions share a device before, and the nodes after."""
    nodes = packed(*before)
    hosts = [Host(f"b{index}", "gpu") for index in range(len(nodes))]
    previous = place(nodes, hosts).backends
    fleet = retained_fleet(previous, after, DEVICES, search=True)
    groups = [{placement.session for placement in plan.placements} for plan in previous]
    return groups, list(fleet.nodes)


def groups_of(nodes: list[Node]) -> list[set[str]]:
    return [{demand.name for demand in node.demands} for node in nodes]


def test_retention_keeps_the_groups_when_rates_barely_change() -> None:
    before = [choice(name, rate) for name, rate in (("a", 200), ("b", 250), ("c", 300))]
    after = [choice(name, rate) for name, rate in (("a", 205), ("b", 245), ("c", 302))]
    groups, nodes = retained(before, after)
    assert groups_of(nodes) == groups


def test_retention_puts_a_new_session_where_there_is_room() -> None:
    before = [choice("a", 100)]
    groups, nodes = retained(before, [*before, choice("b", 50)])
    assert groups == [{"a"}]
    assert groups_of(nodes) == [{"a", "b"}]


def test_retention_fills_dedicated_devices_before_it_takes_more() -> None:
    """At 1500/s two devices; at 760/s one is enough, and the other gets nothing."""
    _, nodes = retained([choice("a", 1500)], [choice("a", 760)])
    assert len(nodes) == 1


def test_retention_evicts_the_cheapest_session_of_an_overfull_device() -> None:
    before = [choice("a", 300), choice("b", 60)]
    groups, nodes = retained(before, [choice("a", 600), choice("b", 300)])
    assert groups == [{"a", "b"}]
    assert groups_of(nodes) == [{"a"}, {"b"}]


@given(rates=st.lists(st.tuples(st.floats(0.5, 900), st.floats(0.5, 900)), min_size=1, max_size=5))
def test_retention_covers_the_new_rates_feasibly(rates: list[tuple[float, float]]) -> None:
    before = [choice(f"s{i}", old) for i, (old, _) in enumerate(rates)]
    after = [choice(f"s{i}", new) for i, (_, new) in enumerate(rates)]
    _, nodes = retained(before, after)
    for node in nodes:
        assert_node_feasible(node)
    found = covered(nodes)
    for entry in after:
        assert found[entry.name] == pytest.approx(entry.rate, rel=1e-4)


def test_fleet_without_counts_equals_packing_one_type() -> None:
    choices = [choice("a", 900), choice("b", 300)]
    fleet = pack_fleet(choices, DEVICES, search=True)
    assert groups_of(list(fleet.nodes)) == groups_of(packed(*choices))
