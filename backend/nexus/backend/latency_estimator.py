"""l(b) as this device really does it: the profile, corrected by what was measured.

The estimate for a batch that was executed often enough is a rolling quantile of its measurements.
The others are the profile times the rolling quantile of measured over profiled, whatever the batch.
Measurements are forgotten after a while: were an estimate so high that nothing is
admitted any more, there would be no new measurement to correct it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from nexus.core.cluster import MeasuredLatency
from nexus.core.profile import Profile

QUANTILE = 0.95
"""For dispatch: so low that one stall does not count, so high that few batches outlast it."""

REPORTED_QUANTILE = 0.5
"""For the scheduler, which corrects capacity by it: over many batches a device is as fast as it
typically is. Stalls of a busy host are what headroom is for; planned for as if they were the rule,
they would buy devices for one noisy minute."""

BATCH_SAMPLES_MAX = 64
BATCH_SAMPLES_MIN = 16
RATIO_SAMPLES_MAX = 128
RATIO_SAMPLES_MIN = 16
FORGET_US = 30_000_000
REFRESH_EVERY = 8
"""Measurements between two refreshes of the table: sorting at every batch would cost more."""

CORRECTION_MIN = 0.25
CORRECTION_MAX = 4.0
"""Beyond four times the profile, the profile is of another device: re-planning must cure that."""

_Samples: TypeAlias = deque[tuple[int, float]]


class LatencyEstimator:
    """The corrected profile of one model; ``latencies_us[b]`` is l(b), index 0 is 0."""

    def __init__(self, profile: Profile) -> None:
        """Believe the profile until enough is measured."""
        self.profile = profile
        self.latencies_us: Sequence[int] = (0, *profile.latencies_us)
        self._by_batch: dict[int, _Samples] = {}
        self._ratios: _Samples = deque(maxlen=RATIO_SAMPLES_MAX)
        self._fresh = 0

    def observe(self, batch: int, latency_us: int, now_us: int) -> None:
        """A batch of ``batch`` items took ``latency_us`` and ended at ``now_us``."""
        if batch > self.profile.max_batch:
            return  # It began under an older profile.
        samples = self._by_batch.get(batch)
        if samples is None:
            samples = self._by_batch[batch] = deque(maxlen=BATCH_SAMPLES_MAX)
        samples.append((now_us, latency_us))
        self._ratios.append((now_us, latency_us / self.profile.latency_us(batch)))
        self._fresh += 1
        if self._fresh >= REFRESH_EVERY:
            self.refresh(now_us)

    def refresh(self, now_us: int) -> None:
        """Forget what is old and renew ``latencies_us``."""
        self._fresh = 0
        oldest_us = now_us - FORGET_US
        for history in (self._ratios, *self._by_batch.values()):
            while history and history[0][0] < oldest_us:
                history.popleft()
        ratio = self._correction()
        table = [0, *(round(latency_us * ratio) for latency_us in self.profile.latencies_us)]
        for measured in self.measured(QUANTILE):
            table[measured.batch] = self._clamped(measured)
        self.latencies_us = tuple(table)

    def measured(self, quantile: float = REPORTED_QUANTILE) -> tuple[MeasuredLatency, ...]:
        """The quantile of each batch size that was executed often enough, smallest first."""
        return tuple(
            MeasuredLatency(
                model=self.profile.model,
                batch=batch,
                latency_us=round(_quantile((latency_us for _, latency_us in samples), quantile)),
            )
            for batch, samples in sorted(self._by_batch.items())
            if len(samples) >= BATCH_SAMPLES_MIN
        )

    def _correction(self) -> float:
        if len(self._ratios) < RATIO_SAMPLES_MIN:
            return 1.0
        ratio = _quantile((ratio for _, ratio in self._ratios), QUANTILE)
        return min(max(ratio, CORRECTION_MIN), CORRECTION_MAX)

    def _clamped(self, measured: MeasuredLatency) -> int:
        profiled_us = self.profile.latency_us(measured.batch)
        low_us, high_us = profiled_us * CORRECTION_MIN, profiled_us * CORRECTION_MAX
        return round(min(max(measured.latency_us, low_us), high_us))


def _quantile(values: Iterable[float], quantile: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
