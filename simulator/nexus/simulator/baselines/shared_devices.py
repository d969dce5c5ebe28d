"""Devices in virtual time that may run several batches at once, each at an equal share of speed.

A policy that owns its devices runs one batch at a time; processes that know nothing of each other
(a container per model) share a GPU by time slicing, which to a batch is processor sharing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from nexus.core.profile import Profile
from nexus.core.units import US_PER_S
from nexus.simulator.baselines.policy import Start
from nexus.simulator.ledger import LedgerError
from nexus.simulator.simulated_device import FACTOR_MIN, P95_SIGMAS
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World


@dataclass(slots=True, eq=False)
class _Running:
    start: Start
    left_us: float


class SharedDevice:
    """One device. ``exclusive`` makes a second batch at a time an error of the policy."""

    __slots__ = (
        "_busy",
        "_ended",
        "_exclusive",
        "_free_us",
        "_jitter",
        "_rng",
        "_running",
        "_since_us",
        "_wakeup",
        "_world",
    )

    def __init__(
        self,
        world: World,
        ended: Callable[[Start], None],
        *,
        exclusive: bool,
        jitter: float,
        rng: random.Random,
    ) -> None:
        """Idle. ``ended`` is told of every batch that ran to its end."""
        self._world = world
        self._ended = ended
        self._exclusive = exclusive
        self._jitter = jitter
        self._rng = rng
        self._running: list[_Running] = []
        self._since_us = 0
        self._free_us = 0
        self._busy: list[tuple[int, int]] = []
        self._wakeup = Wakeup(world, self._end_first)

    def start(self, start: Start, profile: Profile) -> None:
        """Begin to execute a batch; raise LedgerError when that is not possible."""
        now_us = self._world.now_us
        if (self._exclusive and self._running) or now_us < self._free_us:
            raise LedgerError(f"device {start.device} was given a batch while it ran another")
        self._progress()
        self._running.append(_Running(start, self._time_us(start, profile)))
        self._set_wakeup()

    def stop(self, start: Start, free_us: int) -> None:
        """Abandon a running batch; the device is occupied by it until ``free_us`` all the same."""
        self._progress()
        self._running = [running for running in self._running if running.start is not start]
        self._busy.append((self._world.now_us, free_us))
        self._free_us = free_us
        self._set_wakeup()

    def busy_us_by_second(self, from_us: int, until_us: int) -> tuple[int, ...]:
        """How long it was busy in each second of [from_us, until_us)."""
        seconds = [0] * -(-(until_us - from_us) // US_PER_S)
        for start_us, end_us in self._busy:
            at_us, last_us = max(start_us, from_us), min(end_us, until_us)
            while at_us < last_us:
                second = (at_us - from_us) // US_PER_S
                next_us = min(last_us, from_us + (second + 1) * US_PER_S)
                seconds[second] += next_us - at_us
                at_us = next_us
        return tuple(seconds)

    def _end_first(self) -> None:
        self._progress()
        first = min(self._running, key=lambda running: running.left_us)
        self._running.remove(first)
        self._set_wakeup()
        self._ended(first.start)

    def _progress(self) -> None:
        now_us = self._world.now_us
        if self._running and now_us > self._since_us:
            done_us = (now_us - self._since_us) / len(self._running)
            for running in self._running:
                running.left_us -= done_us
            self._busy.append((self._since_us, now_us))
        self._since_us = now_us

    def _set_wakeup(self) -> None:
        if not self._running:
            self._wakeup.set(None)
            return
        left_us = min(running.left_us for running in self._running)
        self._wakeup.set(self._world.now_us + max(0, round(left_us * len(self._running))))

    def _time_us(self, start: Start, profile: Profile) -> float:
        """The batch's time alone, varied as simulated devices of the cluster vary it."""
        if profile.deviations_us:
            deviation_us = profile.deviations_us[len(start.items) - 1]
            mean_us = start.latency_us - P95_SIGMAS * deviation_us
            drawn_us = self._rng.gauss(mean_us, deviation_us)
        elif self._jitter:
            drawn_us = start.latency_us * self._rng.gauss(1.0, self._jitter)
        else:
            return start.latency_us
        return max(drawn_us, start.latency_us * FACTOR_MIN)
