"""Nodes are emptied into the room of others, sessions divided where that saves a device."""

import pytest
from hypothesis import given

from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.core.session import Session
from nexus.scheduler.demand import Demand
from nexus.scheduler.fleet import covered
from nexus.scheduler.node import Node, alone_node
from nexus.scheduler.packing import pack_device
from nexus.scheduler.thinning import thinned
from tests.scheduler.planning_cases import DEVICE, assert_node_feasible, demand_lists, make_demand

UNLIMITED = DeviceSpec(type="gpu")


def demand(name: str, share: float, *, replicas_max: int = 0) -> Demand:
    """A session that needs a share of a device's 820 items/s within 100 ms."""
    session = Session(model=name, slo_us=100_000, name=name, replicas_max=replicas_max)
    profile = linear_profile(name, "gpu", 1_000, 9_000, 64)
    return make_demand(session, share * 820, profile, batch_cap=64, network_us=0)


def nodes_of(*demands: Demand) -> list[Node]:
    return [alone_node(entry, UNLIMITED) for entry in demands]


@given(demands=demand_lists())
def test_thinning_keeps_the_constraints_and_every_rate(demands: list[Demand]) -> None:
    nodes = pack_device(demands, DEVICE, search=True, divide=False)
    fewer = thinned(nodes)
    assert len(fewer) <= len(nodes)
    for node in fewer:
        assert_node_feasible(node)
    before = covered(nodes)
    assert covered(fewer) == {name: pytest.approx(rate, rel=1e-5) for name, rate in before.items()}


def test_thinning_divides_a_session_where_that_saves_a_device() -> None:
    three = nodes_of(demand("a", 0.55), demand("b", 0.55), demand("c", 0.45))
    fewer = thinned(three)
    assert [sorted(d.name for d in node.demands) for node in fewer] == [["a", "c"], ["b", "c"]]
    for node in fewer:
        assert_node_feasible(node)
    assert thinned(three, divide=False) == three


def test_thinning_divides_nothing_that_limits_its_replicas() -> None:
    three = nodes_of(demand("a", 0.55), demand("b", 0.55), demand("c", 0.45, replicas_max=1))
    kept = thinned(three)
    assert all(len({d.name for d in node.demands}) == len(node.demands) for node in kept)
    assert sum(d.name == "c" for node in kept for d in node.demands) == 1


def test_thinning_leaves_everything_as_it_was_where_there_is_no_room() -> None:
    full = nodes_of(demand("a", 0.8), demand("b", 0.85), demand("c", 0.9))
    kept = thinned(full)
    assert all(before is after for before, after in zip(full, kept, strict=True))


def test_thinning_empties_only_what_it_is_told_to() -> None:
    nodes = nodes_of(demand("a", 0.3), demand("b", 0.2), demand("c", 0.1))
    assert thinned(nodes, worth=lambda _: False) == nodes
    kept = thinned(nodes, keep=2)
    assert [sorted(d.name for d in node.demands) for node in kept] == [["a", "c"], ["b"]]
