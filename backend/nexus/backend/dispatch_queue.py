"""The dispatches that wait for the device to be batched together, most urgent first.

A sorted list and not a heap: early drop looks at the queue in order, dispatches mostly arrive in
order of their deadlines, and moving a few thousand pointers costs less than a microsecond.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from nexus.backend.dispatch_key import DispatchKey
from nexus.core.names import SessionName
from nexus.core.record import record

QUEUE_ITEMS_MAX = 4_096
"""Items one session may have waiting, those being prepared included; more are QUEUE_FULL."""


@record
class Queued:
    """A waiting dispatch. ``due_us`` is when its batch must have left the device at the latest.

    That is the queue's order; ``sequence`` (order of arrival) breaks ties.
    """

    due_us: int
    sequence: int
    key: DispatchKey
    items: int
    session: SessionName = ""

    def __lt__(self, other: "Queued") -> bool:
        """Whether it is more urgent."""
        return (self.due_us, self.sequence) < (other.due_us, other.sequence)


class DispatchQueue:
    """Waiting dispatches in the order of ``due_us``. ``items`` is the sum of their items.

    ``waiting`` is the same list for the queue's life: read it, and change it only through here.
    """

    __slots__ = ("_prefix", "_prefix_items_max", "items", "waiting")

    def __init__(self) -> None:
        """Start empty."""
        self.items = 0
        self.waiting: list[Queued] = []
        self._prefix: tuple[int, int] | None = None
        self._prefix_items_max = 0

    def __len__(self) -> int:
        """How many dispatches wait."""
        return len(self.waiting)

    def push(self, queued: Queued) -> None:
        """Add a dispatch."""
        waiting = self.waiting
        self.items += queued.items
        # Most come behind all others: comparing their times is enough.
        if waiting and queued.due_us <= waiting[-1].due_us and queued < waiting[-1]:
            insort(waiting, queued)
            self._prefix = None
            return
        prefix = self._prefix
        waiting.append(queued)
        if prefix is not None and prefix[0] == len(waiting) - 1:
            items = prefix[1] + queued.items
            if items <= self._prefix_items_max:
                self._prefix = (len(waiting), items)

    def take(self, count: int) -> Sequence[Queued]:
        """Remove and return the ``count`` most urgent dispatches."""
        taken = self.waiting[:count]
        assert len(taken) == count, (count, len(taken))
        del self.waiting[:count]
        self.items -= sum([queued.items for queued in taken])
        self._prefix = None
        return taken

    def remove(self, queued: Queued) -> None:
        """Remove a dispatch that is in the queue."""
        index = bisect_left(self.waiting, queued)
        assert self.waiting[index] is queued, queued
        del self.waiting[index]
        self.items -= queued.items
        self._prefix = None

    def prefix(self, items_max: int) -> tuple[int, int]:
        """How many dispatches from the head on fit into ``items_max`` items, and their items.

        Kept from one call to the next, as nearly every dispatch arrives behind all others.
        """
        if self._prefix is None or items_max != self._prefix_items_max:
            self._prefix_items_max = items_max
            self._prefix = prefix(self.waiting, 0, items_max)
        return self._prefix


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
