"""Deferred batches: when they start, which goes first, and that none starts late by choice."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.deferral import Deferred, first_start_us, start_us
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.duty_cycle import Choice, Turn, choose, window
from nexus.backend.early_drop import LatencyTable
from nexus.backend.engine import BackendEngine
from nexus.backend.events import ConnectionLost, Drain, SayStarted, Watched
from nexus.core.plan import Placement
from nexus.core.profile import linear_profile
from tests.backend.virtual_backend import FAST, VirtualBackend, placement_of

AFFINE = tuple(0 if batch == 0 else 10 + batch for batch in range(33))
"""l(b) = b + 10, up to 32."""

SLOW = linear_profile("slow", "v100", 5_000, 45_000, 16)


def turn(*due_us: int, batch: int = 4, pooled: bool = True) -> Turn:
    """A session whose single items are due at these times."""
    waiting = [
        Queued(due, number, DispatchKey(0, number), 1) for number, due in enumerate(sorted(due_us))
    ]
    return Turn(waiting, batch, 1_000, AFFINE, pooled)


def chosen(*turns: Turn, now_us: int = 0) -> Choice | None:
    return choose(turns, [window(one, now_us) for one in turns], now_us)


def pooled(placement: Placement) -> Placement:
    return replace(placement, pool="p0")


# The pure decision.


def test_deferral_waits_until_one_more_could_not_join() -> None:
    assert start_us(100, 2, 4, AFFINE) == 100 - 13
    assert start_us(100, 4, 4, AFFINE) is None


def test_deferral_never_waits_beyond_the_latest_start_of_a_profile_that_is_not_monotone() -> None:
    assert start_us(100, 1, 3, (0, 30, 20, 40)) == 70


def test_deferral_knows_the_largest_profiled_batch() -> None:
    assert start_us(100, 3, 9, (0, 1, 2, 3)) is None


@pytest.mark.parametrize(("now_us", "choice"), [(86, None), (87, Choice(0, 2, 2))])
def test_choose_defers_a_pooled_batch(now_us: int, choice: Choice | None) -> None:
    assert chosen(turn(100, 120), now_us=now_us) == choice


def test_choose_starts_a_full_batch_at_once() -> None:
    assert chosen(turn(100, 100, 100, 100)) == Choice(0, 4, 4)


def test_choose_takes_the_pooled_batch_of_the_earliest_latest_start() -> None:
    assert chosen(turn(*[200] * 4), turn(*[150] * 4)) == Choice(1, 4, 4)


def test_choose_keeps_the_turns_of_pooled_batches_where_somebody_will_be_late() -> None:
    assert chosen(turn(*[20] * 4), turn(*[19] * 4)) == Choice(0, 4, 4)


def test_choose_lets_one_item_be_late_rather_than_a_batch() -> None:
    # Both take 14. Whichever is second starts then: the first has lost one by then, the other all.
    assert chosen(turn(14, 60, 60, 60), turn(*[24] * 4)) == Choice(1, 4, 4)


def test_choose_counts_the_items_of_a_rare_session_for_more() -> None:
    often, rare = turn(*[15] * 4), replace(turn(15, 15, batch=2), gap_us=100.0)
    assert chosen(often, rare) == Choice(1, 2, 2)
    assert chosen(often, replace(rare, gap_us=1.0)) == Choice(0, 4, 4)


def test_choose_saves_a_batch_that_still_waits_to_fill() -> None:
    # 4 items take 14; behind them the head of the other, due at 24, would be late.
    assert chosen(turn(*[200] * 4), turn(24)) == Choice(1, 1, 1)


def test_choose_starts_a_local_batch_although_a_pooled_one_waits() -> None:
    assert chosen(turn(100), turn(100, pooled=False)) == Choice(1, 1, 1)


def test_choose_saves_a_pooled_batch_from_a_local_one() -> None:
    assert chosen(turn(21), turn(100, pooled=False)) == Choice(0, 1, 1)


@given(
    st.lists(st.integers(1, 40), min_size=6, max_size=6),
    st.lists(st.integers(0, 120), min_size=1, max_size=8),
    st.integers(1, 6),
    st.integers(0, 100),
)
def test_choose_neither_defers_too_long_nor_starts_too_early(
    latencies: list[int], dues: list[int], target: int, now_us: int
) -> None:
    table: LatencyTable = (0, *latencies)
    one = replace(turn(*dues, batch=target), latencies_us=table)
    head = window(one, now_us, deferring=True)
    one = replace(one, waiting=one.waiting[head.dropped :])
    choice = choose((one,), (head._replace(dropped=0),), now_us)
    if choice is not None:
        assert now_us + table[choice.items] <= one.waiting[0].due_us
    elif one.waiting:
        items = len(one.waiting)
        assert items < min(target, len(latencies))
        assert now_us + max(table[items], table[items + 1]) < one.waiting[0].due_us


# Through the engine.


@pytest.fixture
def world() -> VirtualBackend:
    return VirtualBackend({"fast": FAST, "slow": SLOW})


def test_engine_starts_a_pooled_batch_at_its_last_moment(world: VirtualBackend) -> None:
    world.plan(pooled(placement_of(FAST, 100_000, 4)))
    keys = [world.arrive(number, "fast@100ms", 100_000) for number in range(2)]
    world.run_until(0)
    assert world.engine.next_wakeup_us() == 100_000 - 12_000
    world.run_until(200_000)
    assert world.ends_us == dict.fromkeys(keys, 88_000 + 11_000)


def test_engine_starts_a_pooled_batch_when_it_is_full(world: VirtualBackend) -> None:
    world.plan(pooled(placement_of(FAST, 100_000, 4)))
    for number in range(4):
        world.arrive(number, "fast@100ms", 100_000)
    world.run_until(0)
    assert [batch.items for batch in world.batches] == [4]


def test_engine_does_not_wait_for_a_session_that_leaves(world: VirtualBackend) -> None:
    world.plan(pooled(placement_of(FAST, 100_000, 4)))
    key = world.arrive(1, "fast@100ms", 100_000)
    world.run_until(10)
    world.plan(version=2)
    world.run_until(200_000)
    assert world.ends_us == {key: 10_010}
    assert world.unloads == ["fast"]


def test_engine_says_to_watchers_what_it_starts(world: VirtualBackend) -> None:
    world.plan(placement_of(FAST, 100_000, 1))
    for connection in (7, 3):
        world.tell(Watched(connection, on=True))
    for number in range(4):
        world.arrive(number, "fast@100ms", 20_000)
    world.run_until(0)
    assert world.said == [SayStarted((3, 7), "fast@100ms", 1, 10_000, 3)]


def test_engine_forgets_watchers_that_are_gone(world: VirtualBackend) -> None:
    world.plan(placement_of(FAST, 100_000, 1))
    world.tell(Watched(7, on=True))
    world.tell(Watched(3, on=True))
    world.tell(Watched(3, on=False))
    world.tell(ConnectionLost(7))
    world.arrive(1, "fast@100ms", 100_000)
    world.run_until(100_000)
    assert len(world.batches) == 1
    assert world.said == []


def test_engine_waits_for_nothing_while_it_drains(world: VirtualBackend) -> None:
    world.plan(pooled(placement_of(FAST, 100_000, 4)))
    key = world.arrive(1, "fast@100ms", 100_000)
    world.run_until(10)
    world.tell(Drain())
    world.run_until(100_000)
    assert world.ends_us == {key: 10_010}
    assert world.drained_at_us == 10_010


def test_engine_starts_before_its_time_where_ticks_come_late() -> None:
    world = VirtualBackend({"fast": FAST}, engine=BackendEngine(reply_us=0, early_us=2_000))
    world.plan(pooled(placement_of(FAST, 100_000, 4)))
    world.arrive(1, "fast@100ms", 100_000)
    world.run_until(0)
    assert world.engine.next_wakeup_us() == 100_000 - 11_000 - 2_000


def test_engine_starts_before_its_time_where_the_plan_leaves_slack(world: VirtualBackend) -> None:
    """Sessions that share a pool may have to wait for each other's batches."""
    world.plan(replace(pooled(placement_of(FAST, 100_000, 4)), slack_us=7_000))
    world.arrive(1, "fast@100ms", 100_000)
    world.run_until(0)
    assert world.engine.next_wakeup_us() == 100_000 - 11_000 - 7_000


def test_engine_saves_a_lone_head_from_the_dispatch_that_cannot_join_it() -> None:
    """On an idle device waiting was a choice: it was not behind, so no batch is too small."""
    world = VirtualBackend({"fast": FAST})
    world.plan(pooled(placement_of(FAST, 100_000, 8)))
    first = world.arrive(1, "fast@100ms", 100_000)
    world.run_until(88_500)
    second = world.arrive(2, "fast@100ms", 188_500, items=5)
    world.run_until(200_000)
    assert world.rejected == {}
    assert world.ends_us[first] == 98_500
    assert world.ends_us[second] <= 188_500


POOLED_FAST = pooled(placement_of(FAST, 100_000, 4))
POOLED_SLOW = pooled(placement_of(SLOW, 400_000, 5))
LOCAL_FAST = placement_of(FAST, 150_000, 2, session="local")


@given(st.integers(0, 10**6), st.booleans(), st.integers(2, 30))
def test_engine_is_idle_only_while_nothing_must_start(
    seed: int, prepares: bool, mean_gap_ms: int
) -> None:
    """No local dispatch ever waits on an idle device, no pooled one beyond its latest start."""
    chance = random.Random(seed)
    engine = BackendEngine(reply_us=0, prepares=prepares)
    world = VirtualBackend({"fast": FAST, "slow": SLOW}, engine=engine)
    placements = (POOLED_FAST, POOLED_SLOW, LOCAL_FAST)
    world.plan(*placements)
    deadlines_us: dict[str, dict[DispatchKey, int]] = {p.session: {} for p in placements}
    for number in range(60):
        world.run_until(world.now_us + round(chance.expovariate(1 / (1_000 * mean_gap_ms))))
        placement = chance.choice(placements)
        deadline_us = world.now_us + round(placement.slo_us * chance.uniform(0.5, 1))
        key = world.arrive(number, placement.session, deadline_us)
        deadlines_us[placement.session][key] = deadline_us
        world.run_until(world.now_us)
        if world.idle:
            for one in placements:
                _require_nothing_late(world, one, deadlines_us[one.session])
    world.run_until(world.now_us + 1_000_000)
    assert all(
        ended_us <= deadlines[key]
        for deadlines in deadlines_us.values()
        for key, ended_us in world.ends_us.items()
        if key in deadlines
    )


def _require_nothing_late(
    world: VirtualBackend, placement: Placement, deadlines_us: dict[DispatchKey, int]
) -> None:
    gone = world.ends_us.keys() | world.rejected.keys()
    waiting = [deadline_us for key, deadline_us in deadlines_us.items() if key not in gone]
    if not waiting:
        return
    assert placement.pool is not None
    latest_us = min(waiting) - world.profiles[placement.model].latency_us(len(waiting))
    wakeup_us = world.engine.next_wakeup_us()
    assert wakeup_us is not None
    assert world.now_us < wakeup_us <= latest_us


def test_first_start_leaves_time_for_all_that_follow() -> None:
    assert first_start_us([]) is None
    assert first_start_us([Deferred(100, 10)]) == 100
    # The last moments collide: the second may start at 105, so the first must at 95.
    assert first_start_us([Deferred(105, 10), Deferred(100, 10)]) == 95
    assert first_start_us([Deferred(105, 10), Deferred(100, 10), Deferred(106, 20)]) == 76 + 10


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 100)), min_size=1, max_size=8))
def test_first_start_is_the_latest_with_which_none_is_late(batches: list[tuple[int, int]]) -> None:
    deferred = sorted(Deferred(*batch) for batch in batches)
    first_us = first_start_us(deferred)
    assert first_us is not None

    def all_in_time(start_us: int) -> bool:
        for batch in deferred:
            if start_us > batch.latest_us:
                return False
            start_us += batch.latency_us
        return True

    assert all_in_time(first_us)
    assert not all_in_time(first_us + 1)


def test_idle_device_starts_early_where_several_sessions_wait() -> None:
    alone, rival = turn(100), turn(101)
    both = [alone, rival]
    heads = [window(one, 0) for one in both]
    assert choose(both[:1], heads[:1], 80) is None
    # Each could wait until 88 or 89 (l(2) = 12), but one takes 11: the first must start by 79.
    assert choose(both, heads, 78) is None
    assert choose(both, heads, 79) == Choice(0, 1, 1)
