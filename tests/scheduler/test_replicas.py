"""A session is on as many devices as it asks for, and on no more than it allows."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.device import DeviceSpec
from nexus.core.errors import InvalidArgumentError
from nexus.core.names import SessionName
from nexus.core.profile import linear_profile
from nexus.core.session import Session
from nexus.scheduler.fleet import Choice, covered, pack_fleet, replicas_reason
from nexus.scheduler.hosts import Host
from nexus.scheduler.node import Node
from nexus.scheduler.placement import place
from nexus.scheduler.retention import retained_fleet
from tests.scheduler.planning_cases import assert_node_feasible, make_demand

DEVICES = (DeviceSpec(type="gpu"),)
THROUGHPUT = 41 * 1e6 / 50_000
"""Of a device of the model below within 100 ms: batches of 41 in 50 ms."""


def choice(name: str, rate: float, *, least: int = 1, most: int = 0) -> Choice:
    session = Session(model=name, slo_us=100_000, name=name, replicas_min=least, replicas_max=most)
    profile = linear_profile(name, "gpu", 1_000, 9_000, 64)
    return Choice((make_demand(session, rate, profile, batch_cap=64, network_us=0),))


def replicas(nodes: Sequence[Node]) -> Mapping[SessionName, int]:
    return Counter(demand.name for node in nodes for demand in node.demands)


@given(
    asked=st.lists(
        st.tuples(st.floats(0.5, 2_500), st.integers(1, 4), st.integers(0, 4)),
        min_size=1,
        max_size=5,
    ),
    search=st.booleans(),
)
def test_replicas_are_as_many_as_asked_for(
    asked: list[tuple[float, int, int]], search: bool
) -> None:
    choices = [
        choice(f"s{index}", rate, least=least, most=max(least, most) if most else 0)
        for index, (rate, least, most) in enumerate(asked)
    ]
    nodes = pack_fleet(choices, DEVICES, search=search).nodes
    found, rates = replicas(nodes), covered(nodes)
    for node in nodes:
        assert_node_feasible(node)
        assert len(set(node.demands)) == len(node.demands)
    for entry in choices:
        session = entry.demands[0].session
        assert found[entry.name] >= session.replicas_min
        assert found[entry.name] <= (session.replicas_max or found[entry.name])
        most = session.replicas_max * THROUGHPUT or entry.rate
        assert rates[entry.name] == pytest.approx(min(entry.rate, most), rel=1e-4)


def test_replicas_beyond_the_limit_are_unmet_and_say_why() -> None:
    greedy = choice("a", 1_000, most=1)
    fleet = pack_fleet([greedy], DEVICES, search=True)
    assert fleet.complete, "no device is missing: the session does not want one"
    assert replicas_reason(greedy, covered(fleet.nodes)["a"]) == (
        "replicas_max 1: so many devices do 820.0/s of 1000.0/s"
    )
    assert replicas_reason(greedy, 1_000) == ""


def test_replicas_are_no_more_than_there_are_devices() -> None:
    one = (DeviceSpec(type="gpu", count=1),)
    fleet = pack_fleet([choice("a", 10, least=3)], one, search=True)
    assert fleet.complete
    assert replicas(fleet.nodes) == {"a": 1}


def test_replicas_lost_with_a_device_come_back_on_another() -> None:
    choices = [choice("a", 60, least=2), choice("b", 50)]
    nodes = pack_fleet(choices, DEVICES, search=True).nodes
    assert len(nodes) == 2
    backends = place(nodes, [Host(f"b{index}", "gpu") for index in range(2)]).backends
    for lost in range(2):
        left = [plan for index, plan in enumerate(backends) if index != lost]
        again = retained_fleet(left, choices, DEVICES, search=True).nodes
        assert replicas(again) == {"a": 2, "b": 1}
        assert covered(again) == {"a": pytest.approx(60), "b": pytest.approx(50)}


def test_replicas_given_back_when_the_limit_falls() -> None:
    nodes = pack_fleet([choice("a", 60, least=3)], DEVICES, search=True).nodes
    backends = place(nodes, [Host(f"b{index}", "gpu") for index in range(3)]).backends
    fewer = retained_fleet(backends, [choice("a", 60, most=1)], DEVICES, search=True)
    assert replicas(fewer.nodes) == {"a": 1}


@pytest.mark.parametrize(("least", "most"), [(0, 0), (2, 1), (5_000, 0), (1, -1)])
def test_replicas_that_make_no_sense_are_refused(least: int, most: int) -> None:
    with pytest.raises(InvalidArgumentError, match="replicas_min"):
        Session(model="m", slo_us=1_000, replicas_min=least, replicas_max=most)
