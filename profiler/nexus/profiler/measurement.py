"""A Measurement: what was seen of one model on one device type, and the Profile it gives a planner.

The measurement keeps the quantiles that were seen; the Profile is one number a batch, l(b) of the
paper. l(b) is the p95 of the runs. A mean would make every second batch late. A p99 needs hundreds
of runs to be more than the worst of them, and one hiccup while profiling would then cost devices
for ever. The few batches beyond p95 are caught by the slack that the plan keeps anyway (an item
seldom waits the whole duty cycle), and the backends' own rolling measurement corrects what drifts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import DeviceType, ModelName, require_name
from nexus.core.profile import Profile
from nexus.profiler.interpolation import interpolate


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """Runs of one batch size. ``memory_bytes`` is the whole model's, with this batch in flight."""

    batch: int
    p50_us: int
    p95_us: int
    p99_us: int
    std_us: int = 0
    memory_bytes: int = 0
    repeats: int = 1

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError when the numbers cannot be a distribution of latencies."""
        if self.batch < 1 or self.repeats < 1 or self.std_us < 0 or self.memory_bytes < 0:
            raise _malformed(f"batch {self.batch}: a number is below its least value")
        if not 0 < self.p50_us <= self.p95_us <= self.p99_us:
            raise _malformed(
                f"batch {self.batch}: the quantiles {self.p50_us}, {self.p95_us}, {self.p99_us} us "
                "are not positive and in order"
            )

    @property
    def throughput(self) -> float:
        """Items per microsecond at the planning latency; for comparing rows."""
        return self.batch / self.p95_us


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCost:
    """Pre- or post-processing of one item, outside the device."""

    p50_us: int = 0
    p95_us: int = 0
    std_us: int = 0
    repeats: int = 0

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on negative times or quantiles out of order."""
        if not 0 <= self.p50_us <= self.p95_us or self.std_us < 0 or self.repeats < 0:
            raise _malformed(
                f"the cost of an item ({self.p50_us}, {self.p95_us} us) is negative or not in order"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One profile file. ``rows`` ascend from batch 1 and may have gaps, which ``profile`` fills.

    ``hardware`` is what the device really was; ``conditions`` whatever else the numbers depend on
    (versions, threads, precision); ``ended`` why no larger batch was measured.
    """

    model: ModelName
    device: DeviceType
    rows: tuple[BatchRow, ...]
    hardware: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)
    ended: str = ""
    load_us: int = 0
    preprocess: ItemCost = ItemCost()
    postprocess: ItemCost = ItemCost()

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on bad names, or rows that do not ascend from batch 1."""
        require_name("model", self.model)
        require_name("device", self.device)
        batches = [row.batch for row in self.rows]
        if not batches or batches[0] != 1 or batches != sorted(set(batches)):
            raise _malformed(
                f"profile of {self.model!r} on {self.device!r}: the rows must ascend from batch 1, "
                f"not {batches}"
            )

    @property
    def has_gaps(self) -> bool:
        """Whether some batch between the rows was not measured."""
        return self.rows[-1].batch > len(self.rows)

    def profile(self) -> Profile:
        """What a planner uses: l(b) for every b, the largest memory, p95 everywhere."""
        deviations_us = interpolate({row.batch: row.std_us for row in self.rows})
        return Profile(
            model=self.model,
            device=self.device,
            latencies_us=interpolate({row.batch: row.p95_us for row in self.rows}),
            memory_bytes=max(row.memory_bytes for row in self.rows),
            preprocess_us=self.preprocess.p95_us,
            postprocess_us=self.postprocess.p95_us,
            load_us=self.load_us,
            deviations_us=deviations_us if any(deviations_us) else (),
        )


def _malformed(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, reason="malformed_profile")
