"""Lanes: order, delay, loss, cuts."""

import random

import pytest

from nexus.scheduler.scenario import Network as NetworkSettings
from nexus.simulator.network import Network
from nexus.simulator.world import World


def network(settings: NetworkSettings) -> Network:
    return Network(World(), settings, random.Random(1))


def sent(net: Network, count: int) -> list[tuple[int, int]]:
    """Send ``count`` messages at once; (number, time) of what arrived within 10 s."""
    seen: list[tuple[int, int]] = []
    for number in range(count):
        net.lane("a", "b").send(lambda number: seen.append((number, net.world.now_us)), number)
    net.world.run_until(net.world.now_us + 10_000_000)
    return seen


@pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(delay_us=100),
        NetworkSettings(delay_us=100, jitter_us=500),
        NetworkSettings(delay_us=100, loss=0.2),
    ],
)
def test_network_keeps_the_order_of_a_lane(settings: NetworkSettings) -> None:
    seen = sent(network(settings), 50)
    assert [number for number, _ in seen] == list(range(50))
    assert seen[0][1] >= 100


def test_network_delivers_what_is_lost_after_a_retransmission() -> None:
    seen = sent(network(NetworkSettings(delay_us=100, loss=0.2, retransmit_us=7_000)), 200)
    assert max(when_us for _, when_us in seen) >= 7_100


def test_network_transfers_take_a_lane_one_after_another() -> None:
    net, seen = network(NetworkSettings(transfer_mbps=8)), list[int]()
    for _ in range(3):
        net.lane("a", "b").send_bytes(1_000, lambda: seen.append(net.world.now_us))
    net.world.run_until(100_000)
    assert seen == [1_000, 2_000, 3_000]


def test_network_holds_what_is_sent_over_a_cut_lane_until_it_is_restored() -> None:
    net, seen = network(NetworkSettings(delay_us=100)), list[int]()
    lane = net.lane("a", "b")
    lane.send(seen.append, 0)
    net.cut([("a", "b")])
    assert not net.reaches("b", "a")
    lane.send(seen.append, 1)
    net.world.run_until(5_000)
    assert seen == [0]
    net.restore([("a", "b")])
    lane.send(seen.append, 2)
    net.world.run_until(5_000_000)
    assert seen == [0, 1, 2]


def test_network_partitions_that_overlap_end_with_the_last() -> None:
    net = network(NetworkSettings())
    net.cut([("a", "b")])
    net.cut([("b", "a")])
    net.restore([("a", "b")])
    assert not net.reaches("a", "b")
    net.restore([("b", "a")])
    assert net.reaches("a", "b")
