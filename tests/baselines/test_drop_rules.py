"""Early and lazy drop, on queues by hand."""

from nexus.simulator.baselines.drop_rules import drop_hopeless, early, largest_batch, lazy
from tests.baselines.baseline_cases import queue

TABLE = (0, 10, 12, 14, 16, 18)
"""l(b) = 8 + 2 b."""


def test_drop_rules_early_gives_up_the_head_that_spoils_the_window() -> None:
    waiting = queue(11, 30, 30, 30)
    batch, dropped = early(waiting, 3, TABLE, now_us=0)
    assert (batch, [item.deadline_us for item in dropped]) == (3, [11])
    assert [item.deadline_us for item in waiting] == [30, 30, 30]


def test_drop_rules_early_shrinks_the_window_with_the_queue() -> None:
    waiting = queue(5, 10)
    assert early(waiting, 3, TABLE, now_us=0)[0] == 1
    assert len(waiting) == 1


def test_drop_rules_early_keeps_a_head_that_is_just_in_time() -> None:
    assert early(queue(14, 14, 14), 3, TABLE, now_us=0) == (3, [])


def test_drop_rules_lazy_serves_the_same_head_in_a_smaller_batch() -> None:
    waiting = queue(11, 30, 30, 30)
    assert lazy(waiting, 3, TABLE, now_us=0) == (1, [])
    assert len(waiting) == 4


def test_drop_rules_lazy_drops_whom_nothing_saves() -> None:
    waiting = queue(9, 12)
    batch, dropped = lazy(waiting, 3, TABLE, now_us=0)
    assert (batch, len(dropped)) == (1, 1)


def test_drop_rules_an_empty_queue_has_no_batch() -> None:
    assert early(queue(), 3, TABLE, 0) == lazy(queue(), 3, TABLE, 0) == (0, [])
    assert drop_hopeless(queue(), TABLE, 0) == []


def test_drop_rules_largest_batch_is_bounded_by_the_table() -> None:
    assert largest_batch(queue(*[100] * 9), TABLE, 0) == 5
