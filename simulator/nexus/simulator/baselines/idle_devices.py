"""The idle devices of a central dispatcher; it takes the lowest-numbered first."""

import heapq
from collections.abc import Iterable

from nexus.simulator.baselines.policy import Device


class IdleDevices:
    """A set of devices, smallest first."""

    def __init__(self, devices: Iterable[Device]) -> None:
        """All of them are idle."""
        self._heap = sorted(devices)

    def __len__(self) -> int:
        """How many are idle."""
        return len(self._heap)

    def take(self) -> Device:
        """Remove the lowest-numbered; there must be one."""
        return heapq.heappop(self._heap)

    def add(self, device: Device) -> None:
        """A device is idle again."""
        heapq.heappush(self._heap, device)
