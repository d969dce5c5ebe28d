"""Early drop: which waiting dispatches to give up so that the others can run in good batches.

Paper, section 6.3. Serving whoever is most urgent, however late ("lazy"), leaves ever less
time to the next batch: batches shrink, and a backend that once fell behind never recovers. So a
window of the batch that is wanted slides over the queue from its head, and every dispatch that the
window would make late is dropped. Added to the paper (ADR 0013): the window is wider than the
planned batch, and no head is dropped whom a little smaller a batch still serves without harm to
the rest.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from nexus.backend.dispatch_queue import Queued, prefix

LatencyTable: TypeAlias = Sequence[int]
"""l(b) in us at index b; index 0 is 0. Its length less one is the largest batch."""


SAVING_THROUGHPUT_MIN = 0.85
"""A batch that saves a head must have this share of the window's throughput, or saving would become
lazy dropping: batch after batch a little smaller."""

SAVING_THROUGHPUT_MIN_ALONE = 0.95
"""The same where no other session shares the device: whatever a batch falls short of the window is
then throughput of this very session, and nobody else's turn makes up for it."""


class Window(NamedTuple):
    """What to do with a queue's head: drop ``dropped`` dispatches, then execute the next ``taken``.

    ``items`` is the batch that those ``taken`` make; 0 when nothing is left.
    """

    dropped: int
    taken: int
    items: int


def slide(
    waiting: Sequence[Queued],
    now_us: int,
    window_items: int,
    latencies_us: LatencyTable,
    *,
    throughput_min: float = SAVING_THROUGHPUT_MIN,
    item_us_max: float = math.inf,
) -> Window:
    """The first window over ``waiting`` (in order of due times) whose head is served in time.

    A batch that saves a head must have the share ``throughput_min`` of the window's throughput,
    and take no longer than ``item_us_max`` an item.
    """
    end = items = 0
    for dropped, head in enumerate(waiting):
        items_max = max(window_items, head.items)
        while end < len(waiting) and items + waiting[end].items <= items_max:
            items += waiting[end].items
            end += 1
        if now_us + latencies_us[items] <= head.due_us:
            return Window(dropped, end - dropped, items)
        smaller = _smaller(waiting, dropped, now_us, window_items, latencies_us)
        if (
            smaller is not None
            and has_throughput(smaller.items, items, latencies_us, throughput_min)
            and latencies_us[smaller.items] <= item_us_max * smaller.items
        ):
            return smaller
        items -= head.items
    return Window(len(waiting), 0, 0)


def has_throughput(items: int, of_items: int, latencies_us: LatencyTable, least: float) -> bool:
    """Whether a batch has at least a share ``least`` of the throughput of one of ``of_items``."""
    return latencies_us[items] * of_items * least <= latencies_us[of_items] * items


def largest_batch(budget_us: float, items_max: int, latencies_us: LatencyTable) -> int:
    """The largest b in 1..items_max with l(b) <= budget_us; 0 when none.

    It looks at every one: l need not be monotone.
    """
    for batch in range(min(items_max, len(latencies_us) - 1), 0, -1):
        if latencies_us[batch] <= budget_us:
            return batch
    return 0


def _smaller(
    waiting: Sequence[Queued],
    start: int,
    now_us: int,
    window_items: int,
    latencies_us: LatencyTable,
) -> Window | None:
    """The batch that saves the head, if the window after it can wait."""
    head = waiting[start]
    budget_us = head.due_us - now_us
    if budget_us <= 0:
        return None
    taken, items = prefix(waiting, start, largest_batch(budget_us, window_items, latencies_us))
    if taken == 0 or latencies_us[items] > budget_us:
        return None
    next_start = start + taken
    if next_start < len(waiting):
        following = waiting[next_start]
        _, rest = prefix(waiting, next_start, max(window_items, following.items))
        if now_us + latencies_us[items] + latencies_us[rest] > following.due_us:
            return None
    return Window(start, taken, items)
