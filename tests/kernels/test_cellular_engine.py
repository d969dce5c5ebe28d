"""The cellular engine: what it does in plain cases, and what it never does in random stories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.kernels.cellular.chunk_cost import chunk_cost
from nexus.backend.kernels.cellular.engine import CellularEngine
from nexus.backend.kernels.cellular.events import Advance, EndReason, Tick
from nexus.backend.kernels.cellular.limits import Limits
from nexus.core.errors import InvalidArgumentError
from tests.kernels.cellular_world import World, linear_cost


def world(slots: int = 4, **limits: int) -> World:
    return World(Limits(slots, **limits), linear_cost())


def test_engine_starts_a_lone_sequence_at_once() -> None:
    w = world()
    w.join("a", 5)
    assert [row.steps for row in w.chunks[0].rows] == [5]
    w.run_out()
    assert w.ended(EndReason.FINISHED) == ["a"]
    assert len(w.engine) == 0


def test_engine_lets_sequences_join_and_leave_between_chunks() -> None:
    w = world()
    w.join("long", 200)
    w.run_until(30)
    w.join("short", 3)
    w.run_out()
    assert w.ended(EndReason.FINISHED) == ["long", "short"]
    assert w.stories["short"].ended_us < w.stories["long"].ended_us
    assert [len(chunk.rows) for chunk in w.chunks[:2]] == [1, 2]


def test_engine_gives_the_free_slot_to_the_earliest_deadline() -> None:
    w = world(slots=1)
    w.join("first", 10)
    w.join("patient", 10, 90_000)
    w.join("urgent", 10, 50_000)
    w.join("whenever", 10)
    w.run_out()
    order = sorted(w.stories.values(), key=lambda story: story.started_us or 0)
    assert [story.key for story in order] == ["first", "urgent", "patient", "whenever"]


def test_engine_ends_a_sequence_of_no_steps_at_once() -> None:
    w = world()
    w.join("empty", 0)
    assert w.ended(EndReason.FINISHED) == ["empty"]
    assert not w.chunks


def test_engine_refuses_who_cannot_wait_in_a_full_queue() -> None:
    w = world(slots=1, waiting=1)
    for key in ("runs", "waits", "refused"):
        w.join(key, 100)
    assert w.ended(EndReason.QUEUE_FULL) == ["refused"]
    w.run_out()
    assert w.ended(EndReason.FINISHED) == ["runs", "waits"]


def test_engine_counts_free_slots_before_it_calls_the_queue_full() -> None:
    w = world(slots=3, waiting=1)
    for key in ("runs", "joins next", "joins too", "waits", "refused"):
        w.join(key, 100)
    assert w.ended(EndReason.QUEUE_FULL) == ["refused"]


def test_engine_drops_who_waits_as_soon_as_it_cannot_be_in_time() -> None:
    w = world(slots=1, join_wait_us=100_000)
    w.join("runs", 1_000)
    w.join("late", 100, 3_000)
    w.run_until(1_999)
    assert not w.ended(EndReason.DEADLINE)
    w.run_until(2_001)
    assert w.ended(EndReason.DEADLINE) == ["late"]
    assert w.stories["late"].started_us is None


def test_engine_drops_who_runs_once_it_cannot_be_in_time() -> None:
    w = World(Limits(1), linear_cost(), slowness=3.0)
    w.join("late", 1_000, 15_000)
    w.join("next", 10)
    w.run_out()
    late = w.stories["late"]
    assert late.reason is EndReason.DEADLINE
    assert late.started_us == 0
    assert late.ended_us < 10_000
    assert w.ended(EndReason.FINISHED) == ["next"]


def test_engine_keeps_who_is_in_time_once_the_others_leave() -> None:
    w = world(slots=4)
    # In this company it would need 1,000 x 16 us; but the others leave after a few steps.
    for key in ("x", "y", "z"):
        w.join(key, 20)
    w.join("tight", 1_000, 12_500)
    w.run_out()
    assert w.stories["tight"].reason is EndReason.FINISHED
    assert w.stories["tight"].ended_us <= 12_500


def test_engine_cuts_the_chunk_at_the_first_free_slot_only_where_it_helps() -> None:
    def next_steps(deadline_us: int) -> int:
        w = world(slots=2, join_wait_us=100_000)
        for key, steps in (("opens", 1), ("short", 36), ("long", 500)):
            w.join(key, steps)
        w.run_until(40)
        assert [row.steps for row in w.chunks[1].rows] == [34, 34]
        w.join("waits", 4, deadline_us)
        w.run_until(w.ends_us)
        return w.chunks[2].steps

    assert next_steps(1_000_000) == 34
    assert next_steps(600) == 2
    assert next_steps(530) == 34


def test_engine_bounds_a_chunk_by_what_a_joiner_may_wait() -> None:
    w = World(Limits(1, join_wait_us=300), linear_cost(overhead_us=100.0))
    w.join("a", 1_000)
    assert w.chunks[0].steps == 20


def test_engine_learns_that_the_device_is_slower_than_its_model() -> None:
    def steps(slowness: float) -> int:
        w = World(Limits(1, join_wait_us=400), linear_cost(overhead_us=100.0), slowness=slowness)
        w.join("a", 5_000)
        w.run_until(20_000)
        return w.chunks[-1].steps

    assert steps(1.0) == 30
    assert 8 <= steps(2.0) <= 11


def test_engine_ends_all_of_a_chunk_that_failed_and_goes_on() -> None:
    w = world(slots=2)
    w.join("opens", 1)
    for key in ("a", "b", "c"):
        w.join(key, 5)
    w.run_until(30)
    w.chunk_ends("boom")
    assert w.ended(EndReason.ERROR) == ["a", "b"]
    w.run_out()
    assert w.ended(EndReason.FINISHED) == ["opens", "c"]


def test_engine_frees_the_slot_of_a_cancelled_sequence_after_its_chunk() -> None:
    w = world(slots=1)
    w.join("a", 100)
    w.join("b", 5)
    w.cancel("a")
    assert w.ended(EndReason.CANCELLED) == ["a"]
    assert w.chunk is not None
    w.cancel("a")
    w.run_out()
    assert w.ended(EndReason.FINISHED) == ["b"]


def test_engine_cancels_who_waits() -> None:
    w = world(slots=1)
    w.join("a", 100)
    w.join("b", 5, 10_000)
    w.cancel("b")
    w.run_out()
    assert w.ended(EndReason.CANCELLED) == ["b"]
    assert w.ended(EndReason.FINISHED) == ["a"]


def test_stream_keeps_its_slot_between_feeds() -> None:
    w = world()
    w.join("stream", None)
    for at_us in (0, 1_000, 2_000):
        w.run_until(at_us)
        w.feed("stream", 2)
    w.run_out()
    assert list(w.holders.values()) == ["stream"]
    assert [row.start for chunk in w.chunks for row in chunk.rows] == [0, 2, 4]
    w.leave("stream")
    assert w.ended(EndReason.FINISHED) == ["stream"]


def test_stream_that_leaves_ends_after_what_was_fed() -> None:
    w = world()
    w.join("stream", None)
    w.feed("stream", 30)
    w.leave("stream")
    w.feed("stream", 5)
    assert w.refused == 1
    w.run_out()
    assert w.ended(EndReason.FINISHED) == ["stream"]
    assert w.stories["stream"].done == 30


def test_stream_that_was_never_fed_may_leave() -> None:
    w = world()
    w.join("stream", None)
    w.leave("stream")
    assert w.ended(EndReason.FINISHED) == ["stream"]


def test_longest_idle_stream_is_parked_for_who_needs_its_slot_and_comes_back() -> None:
    w = world(slots=2)
    for at_us, key in enumerate(("old", "young")):
        w.run_until(1_000 * at_us)
        w.join(key, None)
        w.feed(key, 3)
    w.run_until(5_000)
    w.join("sequence", 50)
    assert [key for key, story in w.stories.items() if story.parked] == ["old"]
    w.feed("old", 4)
    w.run_out()
    assert [key for key, story in w.stories.items() if story.parked] == ["young"]
    assert w.stories["old"].done == 7
    assert w.ended(EndReason.FINISHED) == ["sequence"]


def test_stream_that_left_is_not_parked() -> None:
    w = world(slots=1)
    for key in ("left", "idle"):
        w.join(key, None)
        w.feed(key, 3)
        w.run_out()
        if key == "left":
            w.leave(key)
    w.join("sequence", 5)
    assert w.stories["idle"].parked
    w.run_out()
    assert w.ended(EndReason.FINISHED) == ["left", "sequence"]


def test_stream_is_as_urgent_as_the_oldest_feed_that_is_left_of_it() -> None:
    w = world(slots=1)
    w.join("stream", None)
    w.feed("stream", 3, 1_000)
    w.run_out()
    w.join("runs", 100)
    w.feed("stream", 3, 90_000)
    w.feed("stream", 3, 95_000)
    w.join("sequence", 3, 50_000)
    w.run_out()
    ends = {key: story.ended_us for key, story in w.stories.items()}
    assert w.chunks[-1].rows[0].key == "stream"
    assert ends["sequence"] < w.now_us


def test_stream_ends_when_nothing_is_fed_for_too_long() -> None:
    w = world(idle_us=10_000)
    w.join("unfed", None)
    w.join("stream", None)
    w.run_until(5_000)
    w.feed("stream", 1)
    w.run_until(10_000)
    assert w.ended(EndReason.IDLE) == ["unfed"]
    w.run_until(14_000)
    assert w.stories["stream"].reason is None
    w.run_until(16_000)
    assert w.ended(EndReason.IDLE) == ["unfed", "stream"]
    w.feed("stream", 1)
    w.leave("stream")
    assert w.engine.next_wakeup_us() is None


def test_stream_is_not_ended_for_being_late() -> None:
    w = world(slots=1)
    w.join("stream", None)
    w.feed("stream", 100, 50)
    w.feed("stream", 100, 60)
    w.run_out()
    assert w.stories["stream"].done == 200
    assert w.stories["stream"].reason is None


def test_feed_beyond_the_backlog_is_refused_and_the_stream_goes_on() -> None:
    w = world(ready_steps=10)
    w.join("stream", None)
    w.feed("stream", 8)
    w.feed("stream", 3)
    w.run_out()
    assert w.refused == 1
    w.feed("stream", 10)
    w.run_out()
    assert w.stories["stream"].done == 18


def test_sequence_longer_than_the_backlog_is_refused() -> None:
    w = world(ready_steps=10)
    w.join("a", 11)
    assert w.ended(EndReason.BACKLOG) == ["a"]


def test_streams_are_bounded() -> None:
    w = world(streams=2)
    for key in "abc":
        w.join(key, None)
    assert w.ended(EndReason.STREAMS_FULL) == ["c"]
    w.leave("a")
    w.join("d", None)
    assert w.stories["d"].reason is None


def test_limits_say_which_of_them_is_impossible() -> None:
    with pytest.raises(InvalidArgumentError, match="waiting=0"):
        Limits(4, waiting=0)
    with pytest.raises(InvalidArgumentError, match="at most 65536"):
        Limits(1 << 17)


def test_engine_needs_a_cost_model_of_all_its_slots() -> None:
    with pytest.raises(InvalidArgumentError, match="8 slots, but a cost model of up to 2 rows"):
        CellularEngine(Limits(8), chunk_cost({2: (1.0, 1.0)}))


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["join", "stream", "feed", "leave", "cancel", "fail", "wait", "wait"]),
        st.integers(0, 60),
        st.integers(0, 30),
    ),
    max_size=60,
)


def act(w: World, number: int, action: str, size: int, which: int) -> None:
    """Do something to the world, or to one of its open sequences."""
    deadline_us = w.now_us + 40 * which if which % 3 else None
    if action == "join":
        w.join(number, size, deadline_us)
    elif action == "stream":
        w.join(number, None)
    elif action == "wait":
        w.run_until(w.now_us + size * which)
    elif action == "fail" and w.chunk and which < 10:
        w.chunk_ends("boom")
    opened = [key for key, story in w.stories.items() if story.reason is None]
    if opened and action in {"feed", "leave", "cancel"}:
        key = opened[which % len(opened)]
        if action == "cancel":
            w.cancel(key)
        elif action == "feed" and w.stories[key].stream:
            w.feed(key, 1 + size % 20, deadline_us)
        elif w.stories[key].stream:
            w.leave(key)


@given(
    actions=ACTIONS,
    slots=st.integers(1, 5),
    waiting=st.integers(1, 6),
    streams=st.integers(1, 4),
    slowness=st.sampled_from([0.5, 1.0, 2.5]),
)
def test_every_sequence_gets_its_steps_in_order_and_one_end(
    actions: list[tuple[str, int, int]], slots: int, waiting: int, streams: int, slowness: float
) -> None:
    limits = Limits(slots, waiting, streams, ready_steps=40, idle_us=20_000, join_wait_us=400)
    w = World(limits, linear_cost(), slowness)
    for number, action in enumerate(actions):
        act(w, number, *action)
    w.run_out()
    for story in w.stories.values():
        if story.reason is None:
            assert story.stream
            assert story.done == story.fed
    w.run_until(w.now_us + limits.idle_us)
    assert all(story.reason is not None for story in w.stories.values())
    assert not w.holders
    assert len(w.engine) == 0
    assert w.engine.next_wakeup_us() is None


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 2_000), st.integers(1, 200)), min_size=1),
    slots=st.integers(1, 6),
)
def test_nobody_waits_beyond_a_chunk_while_a_slot_is_free(
    arrivals: list[tuple[int, int]], slots: int
) -> None:
    w = World(Limits(slots), linear_cost())
    expected_us: dict[int, int] = {}
    for number, (gap_us, steps) in enumerate(arrivals):
        w.run_until(w.now_us + gap_us)
        if len(w.engine) < slots:
            expected_us[number] = w.ends_us if w.chunk else w.now_us
        w.join(number, steps)
    w.run_out()
    assert len(w.ended(EndReason.FINISHED)) == len(arrivals)
    assert {number: w.stories[number].started_us for number in expected_us} == expected_us


# An engine that is told.


def told_world(slots: int = 2) -> World:
    return World(Limits(slots), linear_cost(), told=True)


def test_told_engine_starts_nothing_by_itself() -> None:
    w = told_world()
    w.join("a", 5)
    w.tell(Tick())
    assert not w.chunks
    w.tell(Advance(("a",)))
    assert [row.key for row in w.chunks[0].rows] == ["a"]
    w.chunk_ends()
    assert w.ended(EndReason.FINISHED) == ["a"]


def test_told_engine_advances_those_whom_it_is_told_to_their_end() -> None:
    w = told_world(slots=3)
    for key, steps in (("a", 9), ("b", 4), ("c", 7)):
        w.join(key, steps)
    w.tell(Advance(("c", "b", "gone"), until="b"))
    assert [(row.key, row.steps) for row in w.chunks[0].rows] == [("c", 4), ("b", 4)]
    w.chunk_ends()
    w.tell(Advance(("a", "c")))
    w.chunk_ends()
    assert w.ended(EndReason.FINISHED) == ["a", "b", "c"]


def test_told_engine_takes_slots_from_those_who_are_not_in_the_chunk() -> None:
    w = told_world(slots=1)
    w.join("a", 9)
    w.join("b", 9)
    w.join("until", 2)
    for key in ("a", "b", "a", "b"):
        w.tell(Advance((key, "until"), until="until"))
        w.chunk_ends()
    # Each came back with its state, which the world checks; one slot has no room for a second.
    assert [row.key for chunk in w.chunks for row in chunk.rows] == ["a", "b", "a", "b"]
    w.cancel("a")
    assert w.ended(EndReason.CANCELLED) == ["a"]
