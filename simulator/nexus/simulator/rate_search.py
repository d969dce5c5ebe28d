"""The largest load a cluster keeps its promise under: ``nexus simulate --search rate``.

One factor multiplies every rate, declared and offered alike. Whether a factor is kept is decided by
a simulation; short ones find the neighbourhood, whole ones decide. The search is a bisection on the
logarithm of the factor, which takes for granted that what holds at a factor holds below it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from nexus.core.errors import InfeasibleError
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import Scenario
from nexus.simulator.hopeless import HopelessRunError
from nexus.simulator.report import GOOD_FRACTION_MIN, SimulationReport

SHORT_US = 10 * US_PER_S
FACTOR_MIN = 2.0**-10
FACTOR_MAX = 2.0**10
COARSE = 1.05
FINE = 1.01
"""Such ratios of the least factor that failed to the largest that held are enough: of short runs,
and in the end."""

Simulate = Callable[[Scenario], SimulationReport]
Judge = Callable[[SimulationReport], float]


@dataclass(frozen=True, slots=True)
class Found:
    """The largest factor at which every session and query had 99 % good, and the run at it."""

    factor: float
    report: SimulationReport


def worst(report: SimulationReport) -> float:
    """The promise: every session and query counts for itself."""
    return report.worst


def overall(report: SimulationReport) -> float:
    """The paper's metric: all requests together."""
    return 1 - report.bad_fraction


def search_rate(
    scenario: Scenario,
    simulate: Simulate,
    start: float = 1.0,
    good: Judge = worst,
    fine: float = FINE,
) -> Found:
    """Search from ``start``; raise InfeasibleError when no factor holds.

    ``good`` is the share of a run's requests that must reach 99 %: by default that of the worst
    session or query. A run that ``simulate`` gives up with HopelessRunError does not hold. ``fine``
    is the ratio of the least factor that failed to the largest that held, at which it is enough.
    """
    short = replace(scenario, duration_us=min(scenario.duration_us, SHORT_US))

    found: dict[float, SimulationReport] = {}

    def run(scaled: Scenario) -> SimulationReport | None:
        try:
            report = simulate(scaled)
        except HopelessRunError:
            return None
        return report if good(report) >= GOOD_FRACTION_MIN else None

    def holds_briefly(factor: float) -> bool:
        return run(short.scaled(factor)) is not None

    def holds(factor: float) -> bool:
        if report := run(scenario.scaled(factor)):
            found[factor] = report
        return factor in found

    low, high = _bracket(holds_briefly, start, 2.0)
    low, high = narrowed(holds_briefly, low, high, COARSE)
    low, high = _bracket(holds, math.sqrt(low * high), COARSE)
    low, _ = narrowed(holds, low, high, fine)
    return Found(low, found[low])


def _bracket(holds: Callable[[float], bool], start: float, step: float) -> tuple[float, float]:
    """A factor that holds and a larger one that does not, ``step`` apart."""
    low = high = start
    if holds(start):
        while high < FACTOR_MAX:
            low, high = high, high * step
            if not holds(high):
                return low, high
        return low, high
    while low > FACTOR_MIN:
        low, high = low / step, low
        if holds(low):
            return low, high
    raise InfeasibleError(
        f"at no factor down to {FACTOR_MIN:g} of the rates had every session "
        f"{100 * GOOD_FRACTION_MIN:g} % of its requests answered in time"
    )


def narrowed(
    holds: Callable[[float], bool], low: float, high: float, ratio: float
) -> tuple[float, float]:
    """Bisect on the logarithm until high / low <= ratio; ``low`` is taken to hold, ``high`` not."""
    while high / low > ratio:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high
