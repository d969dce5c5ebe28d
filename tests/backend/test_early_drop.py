"""Sliding-window early drop: whom the window passes over, and that nobody runs too late."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.early_drop import LatencyTable, Window, largest_batch, slide

AFFINE = tuple(0 if batch == 0 else 10 + 2 * batch for batch in range(9))
"""l(b) = 2 b + 10, up to 8."""


def queue(*entries: tuple[int, int]) -> list[Queued]:
    """(due, items) in the order given, which must be that of due times."""
    return [
        Queued(due_us, number, DispatchKey(0, number), items)
        for number, (due_us, items) in enumerate(entries)
    ]


def test_slide_takes_the_whole_window_when_the_head_has_time() -> None:
    assert slide(queue(*[(100, 1)] * 6), 0, 4, AFFINE) == Window(0, 4, 4)


def test_slide_drops_the_head_that_would_shrink_the_batch() -> None:
    # l(4) = 18 does not fit the head's 17; a batch of 3 would leave the next 8 of their 24.
    waiting = queue((17, 1), (24, 1), (24, 1), (24, 1))
    assert slide(waiting, 0, 4, AFFINE) == Window(1, 3, 3)


def test_slide_keeps_the_head_that_a_smaller_batch_serves_without_harm() -> None:
    # l(6) = 22 does not fit the head's 21; a batch of 5 has 11/12 of its throughput.
    waiting = queue((21, 1), *[(60, 1)] * 5)
    assert slide(waiting, 0, 6, AFFINE) == Window(0, 5, 5)
    assert slide(waiting, 0, 6, AFFINE, throughput_min=0.95) == Window(1, 5, 5)


def test_slide_keeps_the_head_by_any_batch_where_batching_gains_little() -> None:
    hardly = tuple(0 if batch == 0 else 6 + 40 * batch for batch in range(5))
    waiting = queue((50, 1), *[(400, 1)] * 3)
    assert slide(waiting, 0, 4, hardly) == Window(0, 1, 1)


def test_slide_drops_the_head_that_only_a_much_smaller_batch_would_serve() -> None:
    waiting = queue((12, 1), (60, 1), (60, 1), (60, 1))
    assert slide(waiting, 0, 4, AFFINE) == Window(1, 3, 3)


def test_slide_counts_items_and_never_splits_a_dispatch() -> None:
    assert slide(queue((100, 3), (100, 3), (100, 1)), 0, 4, AFFINE) == Window(0, 1, 3)
    assert slide(queue((100, 8), (100, 1)), 0, 4, AFFINE) == Window(0, 1, 8)


def test_slide_drops_everything_that_is_too_late() -> None:
    assert slide(queue((5, 1), (11, 1)), 0, 4, AFFINE) == Window(2, 0, 0)


def test_largest_batch_looks_at_every_batch() -> None:
    assert largest_batch(20, 3, (0, 10, 30, 15)) == 3
    assert largest_batch(12, 3, (0, 10, 30, 15)) == 1
    assert largest_batch(9, 3, (0, 10, 30, 15)) == 0


@st.composite
def tables(draw: st.DrawFn) -> LatencyTable:
    """Any latencies: real profiles are not monotone either."""
    return (0, *draw(st.lists(st.integers(1, 40), min_size=8, max_size=8)))


@given(
    tables(),
    st.lists(st.tuples(st.integers(0, 80), st.integers(1, 8)), max_size=20),
    st.integers(0, 40),
    st.integers(1, 8),
)
def test_slide_never_lets_anyone_run_late(
    table: LatencyTable, entries: list[tuple[int, int]], now_us: int, window_items: int
) -> None:
    waiting = queue(*sorted(entries))
    window = slide(waiting, now_us, window_items, table)
    taken = waiting[window.dropped : window.dropped + window.taken]
    assert window.items == sum(entry.items for entry in taken)
    assert all(now_us + table[window.items] <= entry.due_us for entry in taken)
    assert window.dropped + window.taken <= len(waiting)
    if not taken:
        assert window.dropped == len(waiting)
        assert all(now_us + table[entry.items] > entry.due_us for entry in waiting[-1:])
