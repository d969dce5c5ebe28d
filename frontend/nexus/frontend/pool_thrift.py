"""How small a batch may be begun: thrift, which grows with the load of a pool (ADR 0020).

In a burst between quiet times any batch that is in time is worth its device time: nothing else
would use it. In a lasting overload it is not: a batch smaller than it might be leaves less time to
the next, which becomes smaller still, and a pool that once fell behind never recovers. There the
head is better refused, so that those who follow get full batches.
"""

import math

THRIFT_MIN = 0.80
THRIFT_MAX = 0.97
"""The throughput a batch must have, as a share of that of the batch it could be: at low load, and
at overload. With 0.90 there, goodput at twice the capacity fell to 0.93 of the highest."""
LOAD_LOW = 0.85
LOAD_HIGH = 0.97
"""Thrift rises between these loads of the pool. Between 0.75 and 0.90 bursts (cv 3) on eight
devices lost a fifth more, over ten random profiles; Poisson arrivals lost the same."""
MEMORY_SLOS = 20
"""The load is averaged over so many SLOs: longer than any burst that matters, shorter than a rise
of the load that a planner answers."""


class PoolLoad:
    """The share of a pool's device time that is spent, lately."""

    def __init__(self, slo_us: int) -> None:
        """``slo_us`` is the longest of the pool's; a new owner reckons with a full load."""
        self._memory_us = MEMORY_SLOS * slo_us
        self._devices_busy = 1.0
        self._at_us: int | None = None

    def thrift(self, devices: int, now_us: int) -> float:
        """What a batch begun now must be worth, on a pool of ``devices``."""
        if self._at_us is None:
            self._devices_busy *= devices
        else:
            self._devices_busy *= math.exp((self._at_us - now_us) / self._memory_us)
        self._at_us = now_us
        load = self._devices_busy / max(1, devices)
        part = (load - LOAD_LOW) / (LOAD_HIGH - LOAD_LOW)
        return THRIFT_MIN + (THRIFT_MAX - THRIFT_MIN) * min(1.0, max(0.0, part))

    def spend(self, batch_us: int) -> None:
        """A batch was begun."""
        self._devices_busy += batch_us / self._memory_us
