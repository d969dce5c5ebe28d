"""One pending wake-up of an engine in virtual time; setting it anew replaces the last."""

from collections.abc import Callable

from nexus.simulator.world import World


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
        self._at_us: int | None = None
        self._pending_us: int | None = None

    def set(self, at_us: int | None) -> None:
        """Wake at ``at_us``; None: not at all."""
        self._at_us = at_us
        if at_us is None:
            return
        if self._pending_us is None or at_us < self._pending_us:
            self._pending_us = at_us
            self._world.at(at_us, self._fire, at_us)

    def _fire(self, pending_us: int) -> None:
        if pending_us != self._pending_us:
            return  # An earlier entry took its place.
        self._pending_us = None
        at_us = self._at_us
        if at_us is None:
            return
        if at_us > self._world.now_us:
            self.set(at_us)
            return
        self._at_us = None
        self._wake()
