"""Devices in virtual time that may run several batches at once, each at an equal share of speed.

A policy that owns its devices runs one batch at a time; processes that know nothing of each other
(a container per model) share a GPU by time slicing, which to a batch is processor sharing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus.core.units import US_PER_S
from nexus.simulator.baselines.policy import Start
from nexus.simulator.ledger import LedgerError
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World

JITTER_FACTOR_MIN = 0.5


@dataclass(slots=True, eq=False)
class _Running:
    start: Start
    left_us: float


@dataclass(slots=True)
class SharedDevice:
    """One device. ``exclusive`` makes a second batch at a time an error of the policy.

    ``busy_us_by_second`` counts the seconds from ``from_us`` to ``until_us``.
    """

    world: World
    exclusive: bool
    ended: Callable[[Start], None]
    rng: random.Random
    jitter: float = 0.0
    from_us: int = 0
    until_us: int = 0
    busy_us_by_second: list[int] = field(init=False)
    _running: list[_Running] = field(default_factory=list)
    _since_us: int = 0
    _wakeup: Wakeup = field(init=False)

    def __post_init__(self) -> None:
        """Let the end of a batch be noticed."""
        counted_us = max(0, self.until_us - self.from_us)
        self.busy_us_by_second = [0] * -(-counted_us // US_PER_S)
        self._wakeup = Wakeup(self.world, self._end_first)

    def start(self, start: Start) -> None:
        """Begin to execute a batch."""
        if self.exclusive and self._running:
            raise LedgerError(f"device {start.device} was given a batch while it ran another")
        self._progress()
        factor = max(JITTER_FACTOR_MIN, self.rng.gauss(1.0, self.jitter)) if self.jitter else 1.0
        self._running.append(_Running(start, start.latency_us * factor))
        self._set_wakeup()

    def stop(self, start: Start) -> None:
        """Abandon a running batch."""
        self._progress()
        self._running = [running for running in self._running if running.start is not start]
        self._set_wakeup()

    def occupy(self, until_us: int) -> None:
        """Count the device as busy from now on: it winds up work that nobody waits for."""
        self._count(self.world.now_us, until_us)

    def _end_first(self) -> None:
        self._progress()
        first = min(self._running, key=lambda running: running.left_us)
        self._running.remove(first)
        self._set_wakeup()
        self.ended(first.start)

    def _progress(self) -> None:
        now_us = self.world.now_us
        if self._running:
            done_us = (now_us - self._since_us) / len(self._running)
            for running in self._running:
                running.left_us -= done_us
            self._count(self._since_us, now_us)
        self._since_us = now_us

    def _set_wakeup(self) -> None:
        if not self._running:
            self._wakeup.set(None)
            return
        left_us = min(running.left_us for running in self._running)
        self._wakeup.set(self.world.now_us + max(0, round(left_us * len(self._running))))

    def _count(self, start_us: int, end_us: int) -> None:
        """Add a busy interval to the seconds it touches."""
        at_us = max(start_us, self.from_us) - self.from_us
        end_us = min(end_us, self.until_us) - self.from_us
        while at_us < end_us:
            second = at_us // US_PER_S
            next_us = min(end_us, (second + 1) * US_PER_S)
            self.busy_us_by_second[second] += next_us - at_us
            at_us = next_us
