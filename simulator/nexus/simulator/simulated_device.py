"""A device in virtual time: it takes the profiled time, more or less, and one batch at a time."""

import random
from collections.abc import Mapping

from nexus.core.names import DeviceType, ModelName, SessionName
from nexus.core.profile import Profile
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import DeviceBehaviour
from nexus.simulator.ledger import LedgerError

P95_SIGMAS = 1.645
"""How far the 95th percentile of a normal distribution, which a measured l(b) is, lies above the
mean."""

FACTOR_MIN = 0.5
"""No batch is faster than this share of its profiled time, however the chance falls."""


class SimulatedDevice:
    """What one backend executes on, and the account of its work.

    ``batches`` counts by session and batch size. The batches of the counted time are in
    ``starts_us`` and ``times_us``.
    """

    def __init__(
        self,
        type_: DeviceType,
        memory_bytes: int,
        behaviour: DeviceBehaviour,
        profiles: Mapping[ModelName, Profile],
        rng: random.Random,
    ) -> None:
        """Idle. ``rng`` decides on jitter."""
        self.type = type_
        self.memory_bytes = memory_bytes
        self.profiles = profiles
        self.batches: dict[SessionName, dict[int, int]] = {}
        self._behaviour = behaviour
        self._rng = rng
        self._free_us = 0
        self._started: list[tuple[int, int]] = []

    def execute(self, session: SessionName, model: ModelName, items: int, now_us: int) -> int:
        """Begin a batch; how long it takes. Raise LedgerError while another runs."""
        if now_us < self._free_us:
            raise LedgerError(
                f"a batch of {session} began {self._free_us - now_us} us before the last one ended"
            )
        took_us = self._time_us(self.profiles[model], items)
        self._free_us = now_us + took_us
        self._started.append((now_us, took_us))
        sizes = self.batches.get(session)
        if sizes is None:
            sizes = self.batches[session] = {}
        sizes[items] = sizes.get(items, 0) + 1
        return took_us

    def load_us(self, model: ModelName) -> int:
        """How long making a model resident takes."""
        return self.profiles[model].load_us or self._behaviour.load_us

    def abandon(self, now_us: int) -> None:
        """The process died: what it ran is not finished, and does not count as work."""
        if self._free_us > now_us and self._started:
            start_us, _ = self._started[-1]
            self._started[-1] = (start_us, now_us - start_us)
            self._free_us = now_us

    def busy_us_by_second(self, from_us: int, until_us: int) -> tuple[int, ...]:
        """How long it was busy in each second of [from_us, until_us)."""
        seconds = [0] * -(-(until_us - from_us) // US_PER_S)
        for start_us, took_us in self._started:
            at_us, end_us = max(start_us, from_us), min(start_us + took_us, until_us)
            while at_us < end_us:
                second = (at_us - from_us) // US_PER_S
                next_us = min(end_us, from_us + (second + 1) * US_PER_S)
                seconds[second] += next_us - at_us
                at_us = next_us
        return tuple(seconds)

    def _time_us(self, profile: Profile, items: int) -> int:
        latency_us = profile.latencies_us[items - 1]
        if profile.deviations_us:
            deviation_us = profile.deviations_us[items - 1]
            drawn_us = self._rng.gauss(latency_us - P95_SIGMAS * deviation_us, deviation_us)
        elif self._behaviour.jitter:
            drawn_us = latency_us * self._rng.gauss(1.0, self._behaviour.jitter)
        else:
            return latency_us
        return max(round(drawn_us), int(latency_us * FACTOR_MIN))
