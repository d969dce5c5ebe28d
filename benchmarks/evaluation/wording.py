"""Numbers and run lengths in words, the same on the whole page."""

import math
from collections.abc import Sequence

from benchmarks.evaluation.effort import Effort
from benchmarks.evaluation.measuring import GROWTH_MAX, Capacity

DEFAULT = "default"
PAPER = "nexus-paper"
NOTHING = "-"


def ratio(value: float) -> str:
    """``1.23x``; a hyphen where there is none."""
    return f"{value:.2f}x" if math.isfinite(value) else NOTHING


def share(value: float) -> str:
    """``0.934``; a hyphen where there is none."""
    return f"{value:.3f}" if math.isfinite(value) else NOTHING


def percent(value: float) -> str:
    """``0.42 %``; a hyphen where there is none."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else NOTHING


def gain_percent(value: float) -> str:
    """``+26 %`` of a ratio of 1.26; a hyphen where there is none."""
    return f"{100 * (value - 1):+.0f} %" if math.isfinite(value) else NOTHING


def seconds(value: float) -> str:
    """``1.25 s``; a hyphen where there is none."""
    return f"{value:.3g} s" if math.isfinite(value) else NOTHING


def factor_of(capacity: Capacity) -> float:
    """The factor found; NaN where the search failed."""
    return math.nan if capacity.error else capacity.factor


def divided(value: float, by: float) -> float:
    """The quotient; NaN where there is none."""
    return value / by if by and math.isfinite(by) else math.nan


def least(values: Sequence[float]) -> float:
    """The smallest of what is there; NaN of nothing."""
    return min((value for value in values if math.isfinite(value)), default=math.nan)


def largest(values: Sequence[float]) -> float:
    """The largest of what is there; NaN of nothing."""
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def at_least(value: float, target: float) -> bool | None:
    """Whether a target is reached; None where nothing was measured."""
    return value >= target if math.isfinite(value) else None


def at_most(value: float, target: float) -> bool | None:
    """Whether a limit is kept; None where nothing was measured."""
    return value <= target if math.isfinite(value) else None


def search_words(effort: Effort) -> str:
    """How a capacity was found."""
    seeds = ", ".join(map(str, effort.seeds))
    return (
        f"capacities from above with runs of about {effort.short:,} requests in steps of "
        f"{100 * (effort.coarse - 1):.0f} %, then steps of {100 * (effort.fine - 1):.1f} % with "
        f"about {effort.long:,} requests at every seed ({seeds}); bursty runs have up to "
        f"{GROWTH_MAX:g} times as many"
    )
