"""Backends behind an ideal owner of their pool: no delays, and all is known (ADR 0020)."""

import random
from dataclasses import dataclass, field, replace

from nexus.backend.dispatch_key import DispatchKey
from nexus.core.profile import Profile
from tests.backend.virtual_backend import VirtualBackend, placement_of


@dataclass
class Filling:
    """The batch that a backend is being sent: its items, and when its head is due.

    ``started`` counts the batches that the backend has begun, ``free_us`` is when the last ends.
    """

    backend: VirtualBackend
    started: int = 0
    free_us: int = 0
    items: int = 0
    head_us: int = 0


@dataclass
class PooledBackends:
    """``count`` backends of one session; the owner fills one batch after another."""

    profile: Profile
    slo_us: int
    target: int
    count: int
    deadlines_us: list[dict[DispatchKey, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Plan every backend alike."""
        placement = replace(placement_of(self.profile, self.slo_us, self.target), pool="p0")
        self._session = placement.session
        self._all = [
            Filling(VirtualBackend({self.profile.model: self.profile})) for _ in range(self.count)
        ]
        self.deadlines_us = [{} for _ in range(self.count)]
        for filling in self._all:
            filling.backend.plan(placement)
        self._now = self._all[0]

    @property
    def backends(self) -> list[VirtualBackend]:
        """The backends."""
        return [filling.backend for filling in self._all]

    def run(self, rate: float, duration_us: int, seed: int = 1) -> None:
        """Poisson arrivals of single items, then silence until everything has ended."""
        chance, at_us, number = random.Random(seed), 0.0, 0
        while (at_us := at_us + chance.expovariate(rate) * 1e6) < duration_us:
            number += 1
            self._arrive(number, round(at_us))
        for backend in self.backends:
            backend.run_until(duration_us * 2)

    def good_share(self) -> float:
        """The share of items that left their device in time."""
        offered = sum(len(deadlines) for deadlines in self.deadlines_us)
        good = sum(
            backend.ends_us.get(key, deadline_us + 1) <= deadline_us
            for backend, deadlines in zip(self.backends, self.deadlines_us, strict=True)
            for key, deadline_us in deadlines.items()
        )
        return good / offered

    def _arrive(self, number: int, now_us: int) -> None:
        for backend in self.backends:
            backend.run_until(now_us)
        filling = self._filling(now_us)
        if filling.items == 0:
            filling.head_us = now_us + self.slo_us
        filling.items += 1
        key = filling.backend.arrive(number, self._session, now_us + self.slo_us)
        filling.backend.run_until(now_us)  # Preparing takes no time here.
        self.deadlines_us[self._all.index(filling)][key] = now_us + self.slo_us

    def _filling(self, now_us: int) -> Filling:
        """The backend whose batch is being filled, or the one that is free first."""
        for filling in self._all:
            self._settle(filling)
        current = self._now
        start_us = max(now_us, current.free_us)
        later_us = start_us + self.profile.latency_us(min(current.items + 1, self.target))
        if not 0 < current.items < self.target or later_us > current.head_us:
            self._now = min(self._all, key=lambda f: (f.items > 0, f.free_us))
        return self._now

    def _settle(self, filling: Filling) -> None:
        """See what the backend has started: that batch is no longer being filled."""
        backend = filling.backend
        if filling.started < len(backend.batches):
            filling.started = len(backend.batches)
            filling.free_us = max(backend.ends_us[key] for key in backend.batches[-1].keys)
            filling.items = backend.engine.queued_items()[self._session]
