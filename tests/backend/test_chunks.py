"""Batches by chunks: who is given up, who joins, and when the group must go on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.backend import chunks, duty_cycle
from nexus.backend.begun import Begun
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.duty_cycle import Choice, Turn
from nexus.backend.early_drop import Window
from nexus.backend.emulated_chunk import emulated_chunk

LATENCIES_US = [0, *(10_000 + 1_000 * b for b in range(1, 17))]


def queued(due_us: int, items: int = 1, number: int = 0) -> Queued:
    return Queued(due_us, number, DispatchKey(0, number), items)


def begun(due_us: int, left: float, items: int = 1) -> Begun:
    return Begun(queued(due_us, items), left)


def joining(have: list[Begun], waiting: list[Queued], window_items: int = 8) -> Window:
    return chunks.joining(
        have, waiting, 0, LATENCIES_US, window_items=window_items, throughput_min=0.85
    )


def test_begun_ran_in_the_company_that_it_had_for_the_longest() -> None:
    one = begun(0, 1.0).after(3_000, 8, 0.5).after(1_000, 4, 0.0)
    assert (one.left, one.device_us, one.company) == (0.0, 4_000, 7)


def test_needed_is_the_share_that_is_left_and_all_of_a_newcomer() -> None:
    have = [begun(0, 0.25, items=2), begun(0, 0.5)]
    assert chunks.needed_us(have, 0, LATENCIES_US) == 6_500
    assert chunks.needed_us(have, 1, LATENCIES_US) == 14_000


def test_latest_start_is_that_of_the_most_pressed() -> None:
    have = [begun(20_000, 1.0), begun(9_000, 0.5)]
    assert chunks.latest_us(have, 0, LATENCIES_US) == 3_000
    assert chunks.latest_us(have, 2, LATENCIES_US) == 2_000


def test_begun_expires_when_its_rest_alone_is_late() -> None:
    assert chunks.expiry_us(begun(20_000, 0.5), LATENCIES_US) == 20_000 - 5_500 + 1


def test_latency_of_more_than_was_profiled_is_that_of_the_most() -> None:
    assert chunks.latency_of(LATENCIES_US, 40) == LATENCIES_US[16]


def test_belated_counts_that_those_who_end_sooner_leave() -> None:
    # Together for half of l(2), then the other alone for half of l(1).
    assert chunks.belated([begun(6_000, 0.5), begun(11_500, 1.0)], 0, LATENCIES_US) == []
    late = begun(11_499, 1.0)
    assert chunks.belated([begun(6_000, 0.5), late], 0, LATENCIES_US) == [late]


def test_belated_gives_up_no_more_than_it_must() -> None:
    hopeless, saved = begun(1_000, 1.0), begun(11_000, 1.0)
    assert chunks.belated([saved, hopeless], 0, LATENCIES_US) == [hopeless]


def test_joiners_fill_the_window_beside_those_who_have_begun() -> None:
    have = [begun(1_000_000, 0.5, items=5)]
    waiting = [queued(1_000_000, number=number) for number in range(9)]
    assert joining(have, waiting) == Window(0, 3, 3)


@pytest.mark.parametrize(("due_us", "joiners"), [(7_500, 4), (7_499, 3), (5_500, 0)])
def test_joiners_are_no_more_than_who_has_begun_can_bear(due_us: int, joiners: int) -> None:
    waiting = [queued(1_000_000, number=number) for number in range(9)]
    assert joining([begun(due_us, 0.5)], waiting) == Window(0, joiners, joiners)


def test_joiner_that_cannot_be_in_time_is_passed_over() -> None:
    waiting = [queued(11_000), queued(1_000_000, number=1)]
    assert joining([begun(1_000_000, 0.5)], waiting) == Window(1, 1, 1)


def test_joiner_is_saved_by_a_smaller_company_if_that_is_nearly_as_good() -> None:
    have = [begun(1_000_000, 0.5, items=6)]
    waiting = [queued(17_500, number=0), queued(1_000_000, number=1)]
    assert joining(have, waiting) == Window(0, 1, 1)


def test_joiner_that_could_bear_only_the_few_who_are_here_is_passed_over() -> None:
    waiting = [queued(16_000), *(queued(1_000_000, number=number) for number in range(1, 9))]
    have = [begun(11_900, 1.0)]
    # Nobody can join now; were it served in a company of few, so would all be after it.
    assert joining(have, waiting) == Window(0, 0, 0)
    assert joining([begun(1_000_000, 0.5)], waiting) == Window(1, 7, 7)


def test_joiner_waits_for_the_next_turn_rather_than_for_others_in_between() -> None:
    have, waiting = [begun(1_000_000, 0.5)], [queued(20_000)]
    windows = [
        chunks.joining(
            have,
            waiting,
            0,
            LATENCIES_US,
            window_items=8,
            throughput_min=0.85,
            behind_us=behind_us,
        )
        for behind_us in (8_000, 8_001)
    ]
    assert windows == [Window(0, 1, 1), Window(0, 0, 0)]


def test_joiner_for_whom_there_is_no_room_waits_and_nobody_overtakes_it() -> None:
    have = [begun(1_000_000, 0.5, items=5)]
    waiting = [queued(500_000, items=4), queued(1_000_000, number=1)]
    assert joining(have, waiting) == Window(0, 0, 0)


@given(
    lefts=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=16),
    chunk_us=st.integers(100, 60_000),
)
def test_emulated_chunks_take_l_of_b_in_all(lefts: list[float], chunk_us: int) -> None:
    latency_us, took_us, left = LATENCIES_US[len(lefts)], 0, tuple(lefts)
    while any(left):
        chunk = emulated_chunk(left, latency_us, chunk_us)
        assert 0 < chunk.took_us <= chunk_us
        took_us, left = took_us + chunk.took_us, chunk.lefts
    assert took_us == pytest.approx(max(lefts) * latency_us, abs=2)


# Among other sessions.


def turn(waiting: list[Queued], have: list[Begun] | None = None, chunk_us: int = 0) -> Turn:
    return Turn(waiting, 4, 50_000, LATENCIES_US, begun=have or [], chunk_us=chunk_us)


def choice(*turns: Turn) -> Choice | None:
    return duty_cycle.choose(turns, [duty_cycle.window(one, 0) for one in turns], 0)


def test_duty_cycle_goes_on_with_what_has_begun() -> None:
    alone = turn([], [begun(1_000_000, 0.5)], 5_000)
    assert choice(alone) == Choice(0, 0, 0)
    assert choice(turn([]), turn([queued(1_000_000)], [begun(1_000_000, 0.5)], 5_000)) == Choice(
        1, 1, 1
    )


def test_duty_cycle_lets_one_in_between_that_would_be_late_behind_a_chunk() -> None:
    by_chunks = turn([], [begun(50_000, 0.9)], 5_000)
    assert choice(by_chunks, turn([queued(15_000)])) == Choice(1, 1, 1)
    # It can wait for the chunk's end, if not for the end of all that has begun.
    assert choice(by_chunks, turn([queued(16_000)])) == Choice(0, 0, 0)


def test_duty_cycle_saves_what_has_begun_from_a_whole_batch() -> None:
    by_chunks = turn([], [begun(11_000, 0.5)], 5_000)
    assert choice(turn([queued(50_000)]), by_chunks) == Choice(1, 0, 0)
    assert choice(turn([queued(12_000)]), by_chunks) == Choice(0, 1, 1)
