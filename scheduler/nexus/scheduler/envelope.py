"""The traffic of the last seconds, from the frontends' newest reports: the tuner's eyes.

Averages see a step late. Here nothing is averaged: the rate of a key is what its counters grew by
over the last 1, 2 or 5 s (InferLine's traffic envelope at several time-scales). Keys are those of
``FrontendReport.arrivals``: sessions, those of stages (``QUERY/STAGE``) too, and queries.

What is noise differs by stream, so its *dispersion* is measured, too: the variance of the counts of
successive seconds over their mean. It is 1 for Poisson arrivals, below for even ones, and n where
requests come n at a time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nexus.core.cluster import FrontendReport
from nexus.core.names import FrontendName
from nexus.core.units import US_PER_S

WINDOWS_US = (US_PER_S, 2 * US_PER_S, 5 * US_PER_S)
WINDOW_SLACK = 0.1
"""A window may be so much shorter than asked for: reports do not come on the microsecond."""
SPREAD_SAMPLES = 60
"""Dispersion is an exponential average over about so many seconds."""
SPREAD_PRIOR = 1.5
"""The dispersion assumed before anything is known."""
SPREAD_PRIOR_SAMPLES = 5
EVEN_MAX = 0.5
"""The dispersion up to which items may come at equal gaps: halfway to Poisson arrivals."""
SPREAD_MAX = 64.0
"""One step of the rate looks like dispersion, too: it must not hide the next one."""

_Source: TypeAlias = tuple[FrontendName, int]
Recent: TypeAlias = Mapping[_Source, tuple[FrontendReport, ...]]
"""The last reports of every live frontend's life, oldest first, as far back as a window needs."""


def remembered(recent: Recent, reports: Iterable[FrontendReport]) -> Recent:
    """``recent`` with another look at all live frontends; one that has gone is forgotten.

    Its clients turn up at the others: its own past must not be counted beside them.
    """
    span_us = WINDOWS_US[-1] + US_PER_S
    updated = {}
    for report in reports:
        source = (report.frontend, report.incarnation)
        known = recent.get(source, ())
        if not known or report.at_us > known[-1].at_us:
            known = (*(r for r in known if r.at_us >= report.at_us - span_us), report)
        updated[source] = known
    return updated


def window_rates(recent: Recent, window_us: int) -> dict[str, float]:
    """Items/s (of queries: frames/s) of every key over the window; empty while nobody spans it."""
    rates: dict[str, float] = {}
    for reports in recent.values():
        last = reports[-1]
        since_us = last.at_us - round(window_us * (1 - WINDOW_SLACK))
        first = next((report for report in reversed(reports) if report.at_us <= since_us), None)
        if first is None:
            continue
        per_s = US_PER_S / (last.at_us - first.at_us)
        for key, count in last.arrivals.items():
            rates[key] = rates.get(key, 0.0) + (count - first.arrivals.get(key, 0)) * per_s
    return rates


@dataclass(frozen=True, slots=True)
class Spread:
    """How unevenly every key's items come; ``after`` each second's look."""

    at_us: int = 0
    last: Mapping[str, float] = field(default_factory=dict)
    ratios: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def dispersion(self, key: str) -> float:
        """Variance over mean of the counts of a second; at least 1."""
        total, weight = self.ratios.get(key, (0.0, 0.0))
        prior = SPREAD_PRIOR * SPREAD_PRIOR_SAMPLES
        return max(1.0, (total + prior) / (weight + SPREAD_PRIOR_SAMPLES))

    def may_be_even(self, key: str) -> bool:
        """Whether nothing seen of late speaks against items at equal gaps."""
        total, weight = self.ratios.get(key, (0.0, 0.0))
        return total <= EVEN_MAX * (weight + SPREAD_PRIOR_SAMPLES)

    def after(self, rates: Mapping[str, float], now_us: int) -> "Spread":
        """With one more second's rates; looks in between say nothing new."""
        if self.last and now_us - self.at_us < US_PER_S * (1 - WINDOW_SLACK):
            return self
        keep = 1 - 1 / SPREAD_SAMPLES
        ratios = dict(self.ratios)
        for key, rate in rates.items():
            before = self.last.get(key)
            if before is not None and before + rate > 0:
                # Half the squared difference of neighbours is the variance, whatever the trend.
                ratio = min(SPREAD_MAX, (rate - before) ** 2 / (before + rate))
                total, weight = ratios.get(key, (0.0, 0.0))
                ratios[key] = (total * keep + ratio, weight * keep + 1)
        return Spread(now_us, rates, {key: ratios[key] for key in rates if key in ratios})
