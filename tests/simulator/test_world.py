"""Virtual time: order and wake-ups."""

import pytest

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


@pytest.mark.parametrize("when_us", [0, 7])
def test_world_runs_what_is_due_at_the_very_end(when_us: int) -> None:
    world, seen = World(), list[int]()
    world.at(when_us, lambda: seen.append(when_us))
    world.run_until(when_us)
    assert seen == [when_us]
