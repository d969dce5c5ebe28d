"""l(b) as this device really does it: the profile, corrected by what was measured.

The estimate for a batch that was executed often enough is a rolling quantile of its measurements.
The others are the profile times the rolling quantile of measured over profiled, whatever the batch.
Measurements are forgotten after a while: were an estimate so high that nothing is
admitted any more, there would be no new measurement to correct it.
"""

from nexus.backend.rolling_quantile import RollingQuantile
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
REFRESH_EVERY = 16
"""Measurements between two refreshes of the table, which costs more than a measurement."""

CORRECTION_MIN = 0.25
CORRECTION_MAX = 4.0
"""Beyond four times the profile, the profile is of another device: re-planning must cure that."""


class LatencyEstimator:
    """The corrected profile of one model; ``latencies_us[b]`` is l(b), index 0 is 0.

    ``latencies_us`` is the same list for the estimator's life: it is corrected in place.
    """

    def __init__(self, profile: Profile) -> None:
        """Believe the profile until enough is measured."""
        self.profile = profile
        self.latencies_us: list[int] = [0, *profile.latencies_us]
        self._by_batch: dict[int, RollingQuantile] = {}
        self._ratios = RollingQuantile(RATIO_SAMPLES_MAX)
        self._ratio = 1.0
        self._fresh = 0

    def observe(self, batch: int, latency_us: int, now_us: int) -> None:
        """A batch of ``batch`` items took ``latency_us`` and ended at ``now_us``."""
        if batch > self.profile.max_batch:
            return  # It began under an older profile.
        samples = self._by_batch.get(batch)
        if samples is None:
            samples = self._by_batch[batch] = RollingQuantile(BATCH_SAMPLES_MAX)
        samples.add(now_us, latency_us)
        self._ratios.add(now_us, latency_us / self.profile.latencies_us[batch - 1])
        self._fresh += 1
        if self._fresh >= REFRESH_EVERY:
            self.refresh(now_us)

    def refresh(self, now_us: int) -> None:
        """Forget what is old and renew ``latencies_us``."""
        self._fresh = 0
        oldest_us = now_us - FORGET_US
        self._ratios.forget(oldest_us)
        ratio = self._correction()
        if ratio != self._ratio:
            self._ratio = ratio
            self.latencies_us[1:] = [round(us * ratio) for us in self.profile.latencies_us]
        for batch, samples in self._by_batch.items():
            samples.forget(oldest_us)
            self.latencies_us[batch] = self._estimate(batch, samples)

    def measured(self) -> tuple[MeasuredLatency, ...]:
        """The typical latency of each batch that was executed often enough, smallest first."""
        return tuple(
            MeasuredLatency(self.profile.model, batch, round(samples.quantile(REPORTED_QUANTILE)))
            for batch, samples in sorted(self._by_batch.items())
            if len(samples) >= BATCH_SAMPLES_MIN
        )

    def _correction(self) -> float:
        if len(self._ratios) < RATIO_SAMPLES_MIN:
            return 1.0
        return min(max(self._ratios.quantile(QUANTILE), CORRECTION_MIN), CORRECTION_MAX)

    def _estimate(self, batch: int, samples: RollingQuantile) -> int:
        profiled_us = self.profile.latencies_us[batch - 1]
        if len(samples) < BATCH_SAMPLES_MIN:
            return round(profiled_us * self._ratio)
        low_us, high_us = profiled_us * CORRECTION_MIN, profiled_us * CORRECTION_MAX
        return round(min(max(samples.quantile(QUANTILE), low_us), high_us))
