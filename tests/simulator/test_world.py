"""Virtual time: order, wake-ups, links."""

import random

import pytest

from nexus.simulator.network import Network
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World


def test_world_runs_in_time_order_and_ties_in_order_of_scheduling() -> None:
    world, seen = World(), list[str]()
    world.at(20, lambda: seen.append("c"))
    world.at(10, lambda: seen.append("a"))
    world.at(10, lambda: seen.append("b"))
    world.run_until(15)
    assert seen == ["a", "b"]
    assert world.now_us == 15
    world.run_until(20)
    assert seen == ["a", "b", "c"]


def test_world_takes_the_past_for_now() -> None:
    world, seen = World(), list[int]()
    world.at(10, lambda: world.at(3, lambda: seen.append(world.now_us)))
    world.run_until(50)
    assert seen == [10]


def test_world_callbacks_may_schedule_more_within_the_same_run() -> None:
    world, seen = World(), list[int]()

    def again() -> None:
        seen.append(world.now_us)
        if len(seen) < 3:
            world.after(5, again)

    world.after(5, again)
    world.run_until(100)
    assert seen == [5, 10, 15]


def test_wakeup_fires_once_at_the_time_last_set() -> None:
    world, seen = World(), list[int]()
    wakeup = Wakeup(world, lambda: seen.append(world.now_us))
    wakeup.set(10)
    wakeup.set(30)
    wakeup.set(20)
    world.run_until(100)
    assert seen == [20]
    wakeup.set(120)
    wakeup.set(None)
    world.run_until(200)
    assert seen == [20]


def test_network_keeps_the_order_of_a_link_under_jitter() -> None:
    world, seen = World(), list[int]()
    network = Network(world, random.Random(1), delay_us=100, jitter_us=500)
    for number in range(50):
        network.send("a", "b", lambda number=number: seen.append(number))  # type: ignore[misc]
    world.run_until(10_000)
    assert seen == list(range(50))


def test_network_loses_what_is_under_way_to_a_cut_node() -> None:
    world, seen = World(), list[str]()
    network = Network(world, random.Random(1), delay_us=100)
    network.send("a", "b", lambda: seen.append("lost"))
    network.cut.add("b")
    network.send("b", "a", lambda: seen.append("lost too"))
    world.run_until(1_000)
    network.cut.clear()
    network.send("a", "b", lambda: seen.append("arrived"))
    world.run_until(2_000)
    assert seen == ["arrived"]


@pytest.mark.parametrize("when_us", [0, 7])
def test_world_runs_what_is_due_at_the_very_end(when_us: int) -> None:
    world, seen = World(), list[int]()
    world.at(when_us, lambda: seen.append(when_us))
    world.run_until(when_us)
    assert seen == [when_us]
