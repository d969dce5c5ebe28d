"""One pending wake-up in virtual time; setting it anew replaces the last."""

import sys
from collections.abc import Callable

from nexus.simulator.world import World

NEVER_US = sys.maxsize


class Wakeup:
    """Calls ``wake`` once at the time last set.

    Most wake-ups are put off before they come. So an entry that is early stays, and looks when it
    comes whether it still is; only a time earlier than every pending entry makes a new one.
    """

    __slots__ = ("_at_us", "_pending_us", "_wake", "_world")

    def __init__(self, world: World, wake: Callable[[], None]) -> None:
        """Begin with none set."""
        self._world = world
        self._wake = wake
        self._at_us = NEVER_US
        self._pending_us = NEVER_US

    def set(self, at_us: int | None) -> None:
        """Wake at ``at_us``; None: not at all."""
        self._at_us = NEVER_US if at_us is None else at_us
        if self._at_us < self._pending_us:
            self._pending_us = self._at_us
            self._world.at(self._at_us, self._fire, self._at_us)

    def _fire(self, pending_us: int) -> None:
        if pending_us != self._pending_us:
            return  # An earlier entry took its place.
        self._pending_us = NEVER_US
        if self._at_us > self._world.now_us:
            self.set(self._at_us)
            return
        self._at_us = NEVER_US
        self._wake()


CLOSE_US = 500
"""A time this near is waited for itself; one further off, half of the way."""


class EngineWakeup:
    """Ticks an engine when it wants it, and asks it as seldom as can be.

    Whoever has told the engine something compares and, if the engine now wants a tick before
    ``pending_us`` (NEVER_US if nothing is pending), calls ``arm``. What an engine wants moves: an
    entry for each move would crowd the heap. So an entry stands half way, where the engine is asked
    anew: a tick that is put off costs nothing until then, one that comes sooner mostly nothing.
    """

    __slots__ = ("_next_us", "_tick", "_world", "pending_us")

    def __init__(
        self, world: World, next_us: Callable[[], int | None], tick: Callable[[], None]
    ) -> None:
        """``next_us`` is the engine's ``next_wakeup_us``; ``tick`` also looks at it again."""
        self._world = world
        self._next_us = next_us
        self._tick = tick
        self.pending_us = NEVER_US

    def look(self) -> None:
        """The engine was told something."""
        at_us = self._next_us()
        if at_us is not None and at_us < self.pending_us:
            self.arm(at_us)

    def arm(self, at_us: int) -> None:
        """Ask the engine at ``at_us``, which is before ``pending_us``, or earlier."""
        left_us = at_us - self._world.now_us
        if left_us > CLOSE_US:
            at_us -= left_us // 2
        self.pending_us = at_us
        self._world.at(at_us, self._fire, at_us)

    def _fire(self, pending_us: int) -> None:
        if pending_us != self.pending_us:
            return
        self.pending_us = NEVER_US
        at_us = self._next_us()
        if at_us is None:
            return
        if at_us > self._world.now_us:
            self.arm(at_us)
        else:
            self._tick()
