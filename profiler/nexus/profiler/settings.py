"""How a model is measured, and when it is enough."""

from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError
from nexus.core.model import BATCH_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilerSettings:
    """The defaults take about a minute for a model of tens of milliseconds."""

    max_batch: int = BATCH_LIMIT
    """No larger batch is tried; the model's own ``max_batch`` also holds."""
    every_batch_to: int = 16
    """Up to here every batch is measured; beyond, every eighth part more."""
    latency_cap_us: int = 2_000_000
    """A batch slower than this ends the measuring: no SLO would use a larger one."""
    gain_min: float = 0.01
    """Throughput that does not grow by this share ..."""
    flat_batches: int = 8
    """... over so many measured batches has levelled off. Real profiles dip for several batches:
    8 loses at most 1.4 % of the best throughput on the published ones, 6 loses 5 %."""
    warm_up: int = 3
    """Runs of each batch size that are not counted: they allocate, choose kernels, fill caches."""
    repeats_min: int = 20
    """The least runs of a batch; a p95 of fewer is but the worst run."""
    repeats_max: int = 100
    stable_ratio: float = 0.02
    """Runs end early when the mean is known to this share, with 95 % confidence."""
    batch_time_us: int = 3_000_000
    """Runs of one batch size end after this time, if there were at least ``repeats_floor``."""
    repeats_floor: int = 5
    """Runs of a batch so slow that ``batch_time_us`` allows no more."""
    rechecks_max: int = 2
    """How often a batch that looks disturbed is measured again; the best of its runs counts."""
    item_repeats: int = 50
    """Runs of pre- and of post-processing."""

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on a number that allows no measuring."""
        counts = (self.max_batch, self.every_batch_to, self.flat_batches, self.item_repeats)
        if (
            min(*counts, self.latency_cap_us, self.batch_time_us) < 1
            or min(self.warm_up, self.rechecks_max) < 0
        ):
            raise InvalidArgumentError("profiler settings: counts and times must be at least 1")
        if not 1 <= self.repeats_floor <= self.repeats_min <= self.repeats_max:
            raise InvalidArgumentError(
                "profiler settings: repeats_floor <= repeats_min <= repeats_max must hold"
            )
