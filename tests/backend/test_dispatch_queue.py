"""The queue is in order of due times whatever happens to it."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import DispatchQueue, Queued, prefix


def queued(number: int, due_us: int, items: int = 1) -> Queued:
    return Queued(due_us, number, DispatchKey(0, number), items)


def test_dispatch_queue_takes_the_most_urgent_first() -> None:
    queue = DispatchQueue()
    for number, due_us in enumerate((30, 10, 20, 10)):
        queue.push(queued(number, due_us, items=number + 1))
    assert [entry.sequence for entry in queue.take(3)] == [1, 3, 2]
    assert (len(queue), queue.items) == (1, 1)


def test_dispatch_queue_removes_one() -> None:
    queue = DispatchQueue()
    entries = [queued(number, 10) for number in range(3)]
    for entry in entries:
        queue.push(entry)
    queue.remove(entries[1])
    assert [entry.sequence for entry in queue.waiting] == [0, 2]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), max_size=30),
    st.lists(st.integers(0, 29), max_size=30, unique=True),
    st.integers(1, 12),
)
def test_dispatch_queue_stays_sorted_and_counts_items(
    pushed: list[tuple[int, int]], removed: list[int], items_max: int
) -> None:
    queue, expected = DispatchQueue(), list[Queued]()
    for number, (due_us, items) in enumerate(pushed):
        entry = queued(number, due_us, items)
        queue.push(entry)
        expected.append(entry)
        assert queue.prefix(items_max) == prefix(sorted(expected), 0, items_max)
        if number in removed:
            queue.remove(entry)
            expected.remove(entry)
    assert queue.prefix(items_max) == prefix(sorted(expected), 0, items_max)
    assert queue.waiting == sorted(expected)
    assert queue.items == sum(entry.items for entry in expected)
    assert queue.take(len(queue)) == sorted(expected)
    assert (len(queue), queue.items) == (0, 0)
