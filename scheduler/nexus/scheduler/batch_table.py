"""What is looked up again and again about the batch sizes of one profile, worked out once.

Thousands of sessions share a few profiles. Only *useful* batch sizes matter to any of them: those
that no larger one beats in latency. Their latencies rise with the batch whatever the profile, so
here, unlike in the profile itself, a search may bisect.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from nexus.core.profile import Profile
from nexus.core.units import US_PER_S

TABLES_MAX = 32_768
"""Tables kept: one for each model and device type, and for each correction of its profile."""


@dataclass(frozen=True, slots=True)
class BatchTable:
    """The batch sizes up to a cap.

    ``cheapest[b]`` is the batch size >= b of least latency (entry 0 is unused): running a smaller
    batch as a larger one is allowed, and sometimes faster. ``useful`` are the batch sizes that are
    their own cheapest, rising; ``latencies_us`` theirs; ``best[i]`` is the index of the one with
    the highest throughput among the first i + 1 of them.
    """

    cheapest: tuple[int, ...]
    useful: tuple[int, ...]
    latencies_us: tuple[int, ...]
    best: tuple[int, ...]

    @property
    def limit(self) -> int:
        """The largest batch size allowed."""
        return len(self.cheapest) - 1

    def saturating(self, latency_max_us: int) -> int:
        """The batch size of the highest throughput with l(b) <= latency_max_us; 0: none."""
        count = bisect_right(self.latencies_us, latency_max_us)
        return self.useful[self.best[count - 1]] if count else 0

    def alone(self, rate: float, budget_us: int) -> tuple[int, int]:
        """The batch size that occupies least of a device of its own, and its duty cycle.

        Batch b is gathered in b / rate, but no cycle may be longer than budget - l(b): at a low
        rate the device runs small batches early (the paper is silent; its code has the same limit).
        Among the batches that have time to gather the highest throughput is best, among the others
        the least latency; so there are two candidates. (0, 0) when neither fits the device.
        """
        useful, latencies_us = self.useful, self.latencies_us
        gathered = self._gathered(rate, budget_us)
        occupancy, batch, cycle_us = math.inf, 0, 0
        if gathered:
            index = self.best[gathered - 1]
            gathering_us = int(useful[index] * US_PER_S / rate)
            if latencies_us[index] <= gathering_us:
                occupancy = latencies_us[index] / gathering_us
                batch, cycle_us = useful[index], gathering_us
        if gathered < len(useful):
            latency_us = latencies_us[gathered]
            left_us = budget_us - latency_us
            if latency_us <= left_us and latency_us / left_us < occupancy:
                batch, cycle_us = useful[gathered], left_us
        return batch, cycle_us

    def _gathered(self, rate: float, budget_us: int) -> int:
        """How many of the useful batch sizes have time to gather: l(b) + b / rate <= budget."""
        useful, latencies_us = self.useful, self.latencies_us
        gather_us = US_PER_S / rate
        # Low rates gather few: that leaves little to search.
        low, high = 0, bisect_right(useful, (budget_us + 1) / gather_us)
        while low < high:
            middle = (low + high) // 2
            if latencies_us[middle] + int(useful[middle] * gather_us) <= budget_us:
                low = middle + 1
            else:
                high = middle
        return low


@lru_cache(maxsize=TABLES_MAX)
def batch_table(profile: Profile, limit: int) -> BatchTable:
    """The table of a profile for batches up to ``limit``, which must be in 1..max_batch."""
    cheapest = _cheapest_batches(profile.latencies_us, limit)
    useful = [batch for batch in range(1, limit + 1) if cheapest[batch] == batch]
    best: list[int] = []
    for index, batch in enumerate(useful):
        leads = not best or profile.throughput(batch) >= profile.throughput(useful[best[-1]])
        best.append(index if leads else best[-1])
    return BatchTable(
        cheapest=tuple(cheapest),
        useful=tuple(useful),
        latencies_us=tuple(profile.latencies_us[batch - 1] for batch in useful),
        best=tuple(best),
    )


def _cheapest_batches(latencies_us: Sequence[int], limit: int) -> list[int]:
    cheapest = [0] * (limit + 1)
    best = limit
    for batch in range(limit, 0, -1):
        if latencies_us[batch - 1] <= latencies_us[best - 1]:
            best = batch
        cheapest[batch] = best
    return cheapest
