"""The queue is in order of due times whatever happens to it."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.session_queue import Queued, SessionQueue


def queued(number: int, due_us: int, items: int = 1) -> Queued:
    return Queued(due_us, number, DispatchKey(0, number), items, 0)


def test_session_queue_takes_the_most_urgent_first() -> None:
    queue = SessionQueue()
    for number, due_us in enumerate((30, 10, 20, 10)):
        queue.push(queued(number, due_us, items=number + 1))
    assert [entry.sequence for entry in queue.take(3)] == [1, 3, 2]
    assert (len(queue), queue.items) == (1, 1)


def test_session_queue_cancels_by_key_once() -> None:
    queue = SessionQueue()
    for number in range(3):
        queue.push(queued(number, 10))
    assert queue.cancel(DispatchKey(0, 1))
    assert not queue.cancel(DispatchKey(0, 1))
    assert [entry.sequence for entry in queue.waiting] == [0, 2]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=30),
    st.lists(st.integers(0, 29), max_size=30),
)
def test_session_queue_stays_sorted_and_counts_items(
    pushed: list[tuple[int, int]], cancelled: list[int]
) -> None:
    queue = SessionQueue()
    expected = [queued(number, due_us, items) for number, (due_us, items) in enumerate(pushed)]
    for entry in expected:
        queue.push(entry)
    for number in cancelled:
        queue.cancel(DispatchKey(0, number))
    expected = [entry for entry in expected if entry.sequence not in cancelled]
    assert list(queue.waiting) == sorted(expected)
    assert queue.items == sum(entry.items for entry in expected)
    assert queue.take(len(queue)) == tuple(sorted(expected))
    assert (len(queue), queue.items) == (0, 0)
