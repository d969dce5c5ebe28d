"""Axes: which values get a tick, how they are written, and where a value lies."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

TICKS = 5
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
THOUSAND, MILLION = 1e3, 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What is measured, in which unit; ``low`` and ``high`` None: as the data ask.

    A logarithmic axis shows positive values only.
    """

    title: str
    unit: str = ""
    low: float | None = 0.0
    high: float | None = None
    log: bool = False

    @property
    def words(self) -> str:
        """Title and unit."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Values from ``low`` to ``high`` on pixels from ``begin`` to ``end``; outside is clamped."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies."""
        inside = min(self.high, max(self.low, value))
        if self.log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round values on the scale."""
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)


def scale(axis: Axis, values: Iterable[float], begin: float, end: float) -> Scale:
    """The scale that shows all values, from round number to round number unless the axis says."""
    shown = [value for value in values if math.isfinite(value) and (value > 0 or not axis.log)]
    if axis.log:
        low, high = min(shown, default=1.0), max(shown, default=10.0)
        low = 10.0 ** math.floor(math.log10(low)) if not axis.low else axis.low
        high = 10.0 ** math.ceil(math.log10(high)) if axis.high is None else axis.high
        high = high if high > low else low * 10
        return Scale(low=low, high=high, begin=begin, end=end, log=True)
    low = min(shown, default=0.0) if axis.low is None else axis.low
    high = max(shown, default=1.0) if axis.high is None else axis.high
    high = high if high > low else low + 1.0
    step = _step(low, high)
    if axis.low is None:
        low = math.floor(low / step) * step
    if axis.high is None:
        high = math.ceil(high / step - 1e-9) * step
    return Scale(low=low, high=high, begin=begin, end=end)


def ticks(low: float, high: float) -> tuple[float, ...]:
    """About five round numbers from low to high, both ends included where they are round."""
    step = _step(low, high)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten; with 2 and 5 between them where there are fewer than three."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [10.0**n for n in range(first, last + 1)]
    between = [f * p for p in powers for f in (1, 2, 5)] if last - first < len("125") else powers
    return tuple(tick for tick in between if low * 0.999 <= tick <= high * 1.001)


def number_text(value: float) -> str:
    """A number for people: 0.95, 12, 1,200, 45k, 3.2M."""
    size = abs(value)
    if size >= MILLION:
        return f"{value / MILLION:.3g}M"
    if size >= 10 * THOUSAND:
        return f"{value / THOUSAND:.4g}k"
    if size >= THOUSAND:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def _step(low: float, high: float) -> float:
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in STEPS if factor * power >= raw * (1 - 1e-9))
