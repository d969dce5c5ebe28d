"""Early drop: which waiting dispatches to give up so that the others can run in good batches.

Paper, section 6.3. Serving whoever is most urgent, however late ("lazy"), leaves ever less
time to the next batch: batches shrink, and a backend that once fell behind never recovers. So a
window of the batch that is wanted slides over the queue from its head, and every dispatch that the
window would make late is dropped. Added to the paper (ADR 0013): the window is wider than the
planned batch, and no head is dropped whom a little smaller a batch still serves without harm to
the rest.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from nexus.backend.session_queue import Queued

LatencyTable: TypeAlias = Sequence[int]
"""l(b) in us at index b; index 0 is 0. Its length less one is the largest batch."""


SMALLER_BATCH_MIN = 2 / 3
"""A batch that saves a head must be this share of the window, or saving would become lazy dropping:
batch after batch a little smaller."""


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
    smaller_min: float = SMALLER_BATCH_MIN,
) -> Window:
    """The first window over ``waiting`` (in order of due times) whose head is served in time.

    ``smaller_min``: a batch that saves a head must be this share of the window.
    """
    for dropped, head in enumerate(waiting):
        taken, items = prefix(waiting, dropped, max(window_items, head.items))
        if now_us + latencies_us[items] <= head.due_us:
            return Window(dropped, taken, items)
        smaller = _smaller(waiting, dropped, now_us, window_items, latencies_us)
        if smaller is not None and smaller.items >= smaller_min * items:
            return smaller
    return Window(len(waiting), 0, 0)


def prefix(waiting: Sequence[Queued], start: int, items_max: int) -> tuple[int, int]:
    """How many dispatches from ``start`` on fit into ``items_max`` items, and their items."""
    count = items = 0
    for index in range(start, len(waiting)):
        more = items + waiting[index].items
        if more > items_max:
            break
        items = more
        count += 1
    return count, items


def largest_batch(budget_us: int, items_max: int, latencies_us: LatencyTable) -> int:
    """The largest b <= items_max with l(b) <= budget_us; 0 when none. l need not be monotone."""
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
    """The batch that saves the head, if the window after it can wait for that batch's end."""
    head = waiting[start]
    batch = largest_batch(head.due_us - now_us, window_items, latencies_us)
    taken, items = prefix(waiting, start, batch)
    if taken == 0 or now_us + latencies_us[items] > head.due_us:
        return None
    next_start = start + taken
    if next_start < len(waiting):
        following = waiting[next_start]
        _, rest = prefix(waiting, next_start, max(window_items, following.items))
        if now_us + latencies_us[items] + latencies_us[rest] > following.due_us:
            return None
    return Window(start, taken, items)
