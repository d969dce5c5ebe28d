"""Whom to give up before a batch: the paper's early drop, and the lazy drop it argues against.

Both take a queue in deadline order and remove from its head whom they give up (section 6.3 of the
paper, nexus.md 2.7).
"""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from nexus.simulator.baselines.item import Item
from nexus.simulator.baselines.situation import LatencyTable

Queue: TypeAlias = deque[Item]
DropRule: TypeAlias = Callable[[Queue, int, LatencyTable, int], tuple[int, list[Item]]]
"""(queue, target batch, l, now) to (batch to execute, 0 when nothing is left; the dropped)."""


def early(queue: Queue, target: int, table: LatencyTable, now_us: int) -> tuple[int, list[Item]]:
    """Slide a window of the target batch over the queue; drop every head it would make late."""
    dropped = []
    batch = min(target, len(queue))
    while queue and queue[0].deadline_us < now_us + table[batch]:
        dropped.append(queue.popleft())
        batch = min(target, len(queue))
    return batch, dropped


def lazy(queue: Queue, _target: int, table: LatencyTable, now_us: int) -> tuple[int, list[Item]]:
    """Drop only whom nothing can save; then the largest batch the head's time allows."""
    dropped = drop_hopeless(queue, table, now_us)
    return largest_batch(queue, table, now_us), dropped


def drop_hopeless(queue: Queue, table: LatencyTable, now_us: int) -> list[Item]:
    """Remove the heads that would be late even alone."""
    dropped = []
    while queue and queue[0].deadline_us < now_us + table[1]:
        dropped.append(queue.popleft())
    return dropped


def largest_batch(queue: Queue, table: LatencyTable, now_us: int) -> int:
    """The largest batch from the head that is in time for the head; 0 when none is."""
    if not queue:
        return 0
    left_us = queue[0].deadline_us - now_us
    for batch in range(min(len(queue), len(table) - 1), 0, -1):
        if table[batch] <= left_us:
            return batch
    return 0


def take(queue: Queue, count: int) -> tuple[Item, ...]:
    """Remove ``count`` items from the head."""
    return tuple([queue.popleft() for _ in range(count)])
