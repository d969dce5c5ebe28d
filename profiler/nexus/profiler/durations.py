"""What a list of run times says: quantiles, spread, and whether more runs would tell more. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from nexus.profiler.settings import ProfilerSettings

CONFIDENCE_95 = 1.96
"""Standard errors on either side of a mean that hold the true one in 95 of 100 cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Quantiles in us, of at least one run."""

    p50_us: int
    p95_us: int
    p99_us: int
    std_us: int
    repeats: int


def summarise(durations_us: Sequence[int]) -> Summary:
    """The quantiles and standard deviation; a time below one microsecond counts as one."""
    ordered = sorted(max(1, duration_us) for duration_us in durations_us)
    return Summary(
        p50_us=_quantile(ordered, 0.50),
        p95_us=_quantile(ordered, 0.95),
        p99_us=_quantile(ordered, 0.99),
        std_us=round(stdev(ordered)) if len(ordered) > 1 else 0,
        repeats=len(ordered),
    )


def is_stable(durations_us: Sequence[int], stable_ratio: float) -> bool:
    """Whether the mean is known to within ``stable_ratio`` of itself, with 95 % confidence."""
    if len(durations_us) < 2:  # noqa: PLR2004 - one run has no spread
        return False
    error_us = CONFIDENCE_95 * stdev(durations_us) / math.sqrt(len(durations_us))
    return error_us <= stable_ratio * fmean(durations_us)


def enough_runs(durations_us: Sequence[int], settings: ProfilerSettings) -> bool:
    """Whether to stop repeating: at the limit, out of time, or the mean is known well enough."""
    repeats = len(durations_us)
    if repeats < settings.repeats_floor:
        return False
    if repeats >= settings.repeats_max or sum(durations_us) >= settings.batch_time_us:
        return True
    return repeats >= settings.repeats_min and is_stable(durations_us, settings.stable_ratio)


def _quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest run that at least ``share`` of the runs do not exceed: always one that was."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
