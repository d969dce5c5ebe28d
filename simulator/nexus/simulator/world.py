"""Virtual time: a heap of callbacks, run in order, ties broken by the order of scheduling.

Everything that happens in a simulation is a callback here. Nothing else moves the clock, so a run
depends on its seed alone.
"""

import heapq
from collections.abc import Callable

from nexus.core.clock import VirtualClock

EVENTS_MAX = 200_000_000
"""A run that schedules more than this is taken for one that never ends."""


class World:
    """The clock and what is still to happen."""

    def __init__(self) -> None:
        """Begin at 0 us with nothing to do."""
        self.clock = VirtualClock()
        self.events = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []

    @property
    def now_us(self) -> int:
        """The present."""
        return self.clock.now_us()

    def at(self, when_us: int, action: Callable[[], None]) -> None:
        """Run ``action`` at ``when_us``; what lies in the past runs now, after what is due."""
        self.events += 1
        assert self.events < EVENTS_MAX, "the simulation does not end"
        heapq.heappush(self._heap, (max(when_us, self.now_us), self.events, action))

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Run ``action`` in ``delay_us``."""
        self.at(self.now_us + delay_us, action)

    def run_until(self, end_us: int) -> None:
        """Run everything due up to and including ``end_us``, and leave the clock there."""
        while self._heap and self._heap[0][0] <= end_us:
            when_us, _, action = heapq.heappop(self._heap)
            self.clock.advance_to(when_us)
            action()
        self.clock.advance_to(end_us)
