"""A Profile: latency and memory of one model on one device type, by batch size.

The paper's l(b). Real profiles are not monotone in l(b)/b (nexus.md section 3), so every search
here looks at every batch and never bisects.
"""

from dataclasses import dataclass
from functools import lru_cache

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import DeviceType, ModelName
from nexus.core.units import US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """``latencies_us[b - 1]`` is l(b); every batch from 1 to ``max_batch`` is given.

    ``memory_bytes`` is weights plus activations at ``max_batch``; ``load_us`` the time to make the
    model resident. ``preprocess_us`` and ``postprocess_us`` are per item, outside the device.
    ``deviations_us[b - 1]``, where measured, is the standard deviation of a batch's time, of which
    l(b) is then the 95th percentile: nobody plans by it, but simulated devices vary by it.
    """

    model: ModelName
    device: DeviceType
    latencies_us: tuple[int, ...]
    memory_bytes: int = 0
    preprocess_us: int = 0
    postprocess_us: int = 0
    load_us: int = 0
    deviations_us: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on an empty profile or a latency that is not positive."""
        if not self.latencies_us:
            raise InvalidArgumentError(
                f"profile of {self.model!r} on {self.device!r} has no rows",
                reason="malformed_profile",
            )
        if self.deviations_us and len(self.deviations_us) != len(self.latencies_us):
            raise InvalidArgumentError(
                f"profile of {self.model!r} on {self.device!r}: {len(self.deviations_us)} "
                f"deviations for {len(self.latencies_us)} batches",
                reason="malformed_profile",
            )
        for batch, latency_us in enumerate(self.latencies_us, start=1):
            if latency_us <= 0:
                raise InvalidArgumentError(
                    f"profile of {self.model!r} on {self.device!r}: latency {latency_us} us at "
                    f"batch {batch} is not positive",
                    reason="malformed_profile",
                )

    @property
    def max_batch(self) -> int:
        """The largest profiled batch."""
        return len(self.latencies_us)

    def latency_us(self, batch: int) -> int:
        """l(batch); batch must be in 1..max_batch."""
        assert 1 <= batch <= self.max_batch, (self.model, batch, self.max_batch)
        return self.latencies_us[batch - 1]

    def throughput(self, batch: int) -> float:
        """Items per second when batches of this size run back to back."""
        return batch * US_PER_S / self.latency_us(batch)

    def largest_batch_within(self, budget_us: float, limit: int | None = None) -> int:
        """The largest b <= limit with l(b) <= budget_us; 0 when none fits."""
        top = self.max_batch if limit is None else min(limit, self.max_batch)
        for batch in range(top, 0, -1):
            if self.latencies_us[batch - 1] <= budget_us:
                return batch
        return 0

    @property
    def best_throughput(self) -> float:
        """Max over b of b / l(b): the device's limit for this model, SLO ignored."""
        return _best_throughput(self.latencies_us)


@lru_cache(maxsize=8192)
def _best_throughput(latencies_us: tuple[int, ...]) -> float:
    """Remembered: a planner asks for it once for each of thousands of sessions."""
    return max(b * US_PER_S / latency_us for b, latency_us in enumerate(latencies_us, start=1))


def linear_profile(
    model: str,
    device: str,
    alpha_us: float,
    beta_us: float,
    max_batch: int,
    *,
    memory_bytes: int = 0,
) -> Profile:
    """l(b) = alpha * b + beta, the form most published profiles take."""
    return Profile(
        model=model,
        device=device,
        latencies_us=tuple(round(alpha_us * b + beta_us) for b in range(1, max_batch + 1)),
        memory_bytes=memory_bytes,
    )
