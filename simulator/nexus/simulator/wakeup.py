"""One pending wake-up of an engine in virtual time; setting it anew replaces the last."""

from collections.abc import Callable

from nexus.simulator.world import World


class Wakeup:
    """Calls ``wake`` once at the time last set."""

    def __init__(self, world: World, wake: Callable[[], None]) -> None:
        """Begin with none set."""
        self._world = world
        self._wake = wake
        self._at_us: int | None = None
        self._generation = 0

    def set(self, at_us: int | None) -> None:
        """Wake at ``at_us``; None: not at all."""
        if at_us == self._at_us:
            return
        self._at_us = at_us
        self._generation += 1
        if at_us is not None:
            generation = self._generation
            self._world.at(at_us, lambda: self._fire(generation))

    def _fire(self, generation: int) -> None:
        if generation == self._generation:
            self._at_us = None
            self._wake()
