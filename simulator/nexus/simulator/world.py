"""Virtual time: what is still to happen, in order; nothing else moves the clock.

A run depends on its seed alone. What is due at the same moment happens in the order in which it was
scheduled. Entries are plain tuples and handlers are called with their arguments, because a
simulation spends much of its time here: no closure is made for an event, and what is due now waits
in a queue beside the heap.
"""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

EVENTS_MAX = 2_000_000_000
"""A run that schedules more than this is taken for one that never ends."""

Handler: TypeAlias = Callable[..., None]
Arguments: TypeAlias = tuple[Any, ...]


class World:
    """The clock (``now_us``, from 0) and what is still to happen. ``events`` counts the latter."""

    __slots__ = ("_heap", "_now", "events", "now_us")

    def __init__(self) -> None:
        """Begin at 0 us with nothing to do."""
        self.now_us = 0
        self.events = 0
        self._heap: list[tuple[int, int, Handler, Arguments]] = []
        self._now: deque[tuple[Handler, Arguments]] = deque()

    def at(self, when_us: int, handler: Handler, *arguments: Any) -> None:
        """Call ``handler`` at ``when_us``; what lies in the past is called now, as by ``soon``."""
        self.events += 1
        if when_us > self.now_us:
            heapq.heappush(self._heap, (when_us, self.events, handler, arguments))
        else:
            self._now.append((handler, arguments))

    def after(self, delay_us: int, handler: Handler, *arguments: Any) -> None:
        """Call ``handler`` in ``delay_us``."""
        self.events += 1
        if delay_us > 0:
            entry = (self.now_us + delay_us, self.events, handler, arguments)
            heapq.heappush(self._heap, entry)
        else:
            self._now.append((handler, arguments))

    def soon(self, handler: Handler, *arguments: Any) -> None:
        """Call ``handler`` now, after everything that is due now already."""
        self.events += 1
        self._now.append((handler, arguments))

    def run_until(self, end_us: int) -> None:
        """Run everything due up to and including ``end_us``, and leave the clock there."""
        self._run_now()
        heap, now, pop = self._heap, self._now, heapq.heappop
        while heap and heap[0][0] <= end_us:
            assert self.events < EVENTS_MAX, "the simulation does not end"
            self.now_us, _, handler, arguments = pop(heap)
            handler(*arguments)
            # All entries of this moment are older than what they add to it: they come first.
            if now and not (heap and heap[0][0] == self.now_us):
                self._run_now()
        self.now_us = max(self.now_us, end_us)

    def _run_now(self) -> None:
        now = self._now
        while now:
            handler, arguments = now.popleft()
            handler(*arguments)
