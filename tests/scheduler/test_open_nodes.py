"""Best fit among a few nodes is as good as among all of them."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given

from nexus.core.device import DeviceSpec
from nexus.scheduler import open_nodes
from nexus.scheduler.demand import Demand
from nexus.scheduler.node import Node, alone_node, merge
from nexus.scheduler.open_nodes import OpenNodes, merged_occupancy
from nexus.scheduler.packing import pack_residues
from tests.scheduler.planning_cases import (
    DEVICE,
    assert_node_feasible,
    demand_lists,
    random_residues,
)


def singles_of(demands: Sequence[Demand]) -> list[Node]:
    """Each demand alone, at no more than one device of it."""
    return [alone_node(demand, DEVICE) for demand in demands]


@given(demands=demand_lists())
def test_open_nodes_know_the_occupancy_of_a_merge_without_making_it(demands: list[Demand]) -> None:
    node, *others = singles_of(demands)
    for single in others:
        merged = merge(node, single)
        if merged is not None:
            assert merged_occupancy(node, single) == pytest.approx(merged.occupancy)
            node = merged
        elif merge_without_memory(node, single) is None:
            assert merged_occupancy(node, single) == 0.0


def merge_without_memory(node: Node, single: Node) -> Node | None:
    unlimited = DeviceSpec(type=DEVICE.type)
    return merge(replace(node, device=unlimited), replace(single, device=unlimited))


@given(demands=demand_lists())
def test_open_nodes_take_the_fit_that_a_look_at_all_of_them_would(demands: list[Demand]) -> None:
    opened = OpenNodes()
    nodes: list[Node] = []
    for single in singles_of(demands):
        opened.place(single)
        merged = [(index, merge(node, single)) for index, node in enumerate(nodes)]
        fits = [(node.occupancy, -index, node) for index, node in merged if node is not None]
        if fits:
            most = max(occupancy for occupancy, *_ in fits)
            found = next(node for node in opened.nodes if single.demands[0] in node.demands)
            assert found.occupancy == pytest.approx(most)
        nodes = list(opened.nodes)
        for node in nodes:
            assert_node_feasible(node)


@pytest.mark.parametrize("search", [False, True])
def test_open_nodes_lose_less_than_half_a_percent_by_trying_a_few(
    search: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    residues = random_residues(random.Random(5), 1_000)
    few = len(pack_residues(residues, DEVICE, search=search, divide=False))
    monkeypatch.setattr(open_nodes, "TRIED_MAX", len(residues))
    every = len(pack_residues(residues, DEVICE, search=search, divide=False))
    assert every > 2 * 64, "there are more nodes than are tried"
    assert few <= 1.005 * every


def test_open_nodes_forget_what_was_withdrawn() -> None:
    a, b = singles_of(random_residues(random.Random(1), 2))
    opened = OpenNodes([a])
    opened.withdraw(0)
    assert opened.best_for(b) is None
    opened.put(0, a)
    assert opened.hosts(a.demands[0]) == {0}
