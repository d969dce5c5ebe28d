"""When what is under way is given up: of much that has a time limit, the little that reaches it."""

import heapq
import sys
from collections.abc import Container

NEVER_US = sys.maxsize


class Timeouts:
    """The time limits of what is open, by id.

    Nearly all is closed long before its time. So a new limit is only noted, and put in order no
    sooner than the first of them has come: by then few are left to be ordered.
    """

    __slots__ = ("_noted", "_open", "_ordered", "look_us")

    def __init__(self, open_ids: Container[int]) -> None:
        """``open_ids`` are those that still matter, always."""
        self.look_us = NEVER_US
        """When to look for those that are over: never later than the first, maybe earlier."""
        self._open = open_ids
        self._noted: list[tuple[int, int]] = []
        self._ordered: list[tuple[int, int]] = []

    def note(self, timeout_us: int, open_id: int) -> None:
        """Give it up at ``timeout_us``."""
        self._noted.append((timeout_us, open_id))
        self.look_us = min(self.look_us, timeout_us)

    def clear(self) -> None:
        """Nothing is open."""
        self._noted.clear()
        self._ordered.clear()
        self.look_us = NEVER_US

    def pop_overdue(self, now_us: int) -> int | None:
        """The next to be given up at ``now_us``; None: nothing yet."""
        if now_us < self.look_us:
            return None
        ordered = self._ordered
        for noted in self._noted:
            if noted[1] in self._open:
                heapq.heappush(ordered, noted)
        self._noted.clear()
        while ordered and ordered[0][1] not in self._open:
            heapq.heappop(ordered)
        self.look_us = ordered[0][0] if ordered else NEVER_US
        return heapq.heappop(ordered)[1] if self.look_us <= now_us else None
