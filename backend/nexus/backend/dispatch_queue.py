"""The dispatches of one session that wait for the device, most urgent first.

A sorted list and not a heap: early drop looks at the queue in order, dispatches mostly arrive in
order of their deadlines, and moving a few thousand pointers costs less than a microsecond.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from nexus.backend.dispatch_key import DispatchKey

QUEUE_ITEMS_MAX = 4_096
"""Items one session may have waiting, those being prepared included; more are QUEUE_FULL."""


class Queued(NamedTuple):
    """A waiting dispatch. ``due_us`` is when its batch must have left the device at the latest.

    The field order is the queue's order; ``sequence`` (order of arrival) breaks ties.
    """

    due_us: int
    sequence: int
    key: DispatchKey
    items: int
    arrived_us: int


class SessionQueue:
    """Waiting dispatches in the order of ``due_us``. ``items`` is the sum of their items."""

    def __init__(self) -> None:
        """Start empty."""
        self.items = 0
        self._waiting: list[Queued] = []
        self._by_key: dict[DispatchKey, Queued] = {}

    def __len__(self) -> int:
        """How many dispatches wait."""
        return len(self._waiting)

    @property
    def waiting(self) -> Sequence[Queued]:
        """The dispatches, most urgent first; valid until the next change."""
        return self._waiting

    def push(self, queued: Queued) -> None:
        """Add a dispatch; its key must not be in the queue yet."""
        assert queued.key not in self._by_key, queued
        insort(self._waiting, queued)
        self._by_key[queued.key] = queued
        self.items += queued.items

    def take(self, count: int) -> tuple[Queued, ...]:
        """Remove and return the ``count`` most urgent dispatches."""
        taken = tuple(self._waiting[:count])
        assert len(taken) == count, (count, len(taken))
        del self._waiting[:count]
        for queued in taken:
            del self._by_key[queued.key]
            self.items -= queued.items
        return taken

    def cancel(self, key: DispatchKey) -> bool:
        """Remove a dispatch by its key, and say whether it was here."""
        queued = self._by_key.pop(key, None)
        if queued is None:
            return False
        del self._waiting[bisect_left(self._waiting, queued)]
        self.items -= queued.items
        return True
