"""Arrival rates from the frontends' grow-only counters.

Each pair of reports of one frontend gives a sample, whatever lies between them: a lost report loses
nothing. Samples are averaged exponentially (alpha = 1 - e^(-dt/tau), the paper's code has tau =
10 s of 1-s samples), bias-corrected so that a new stream is known within seconds. A second, faster
average stands in while it lies above the slow one by more than chance explains: after a step up,
planning by the slow one would provide too little, several times over. A frontend that vanished
fades out at the same pace at which its clients reappear elsewhere.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from nexus.core.cluster import FrontendReport
from nexus.core.names import FrontendName
from nexus.core.units import US_PER_S

TAU_US = 10 * US_PER_S
FAST_TAU_US = 2 * US_PER_S
STEP_SIGMAS = 4.0
"""How many standard deviations above the slow average the fast one is taken for a step."""
RATE_FORGOTTEN = 1e-3
"""A vanished frontend's share below this many items/s is dropped."""

_Source = tuple[FrontendName, int]


@dataclass(slots=True)
class _Average:
    """An exponential average: ``total / weight`` is unbiased from the first sample on."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, sample: float, alpha: float) -> None:
        self.total += alpha * (sample - self.total)
        self.weight += alpha * (1.0 - self.weight)

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else 0.0


@dataclass(slots=True)
class _Watch:
    """One life of one frontend: its last report, and its rate of every key, slow and fast."""

    last: FrontendReport
    slow: dict[str, _Average] = field(default_factory=dict)
    fast: dict[str, _Average] = field(default_factory=dict)


class RateEstimator:
    """Rates in items/s by session or query name, summed over frontends."""

    def __init__(self, tau_us: int = TAU_US) -> None:
        """``tau_us`` is the time constant of the slow average."""
        assert tau_us > 0, tau_us
        self.tau_us = tau_us
        self._fast_tau_us = min(FAST_TAU_US, tau_us)
        self._watched: dict[_Source, _Watch] = {}
        self._since_us: dict[str, int] = {}
        self._observed_us: int | None = None

    def observe(self, reports: Iterable[FrontendReport], now_us: int) -> None:
        """Take in the reports of all live frontends; one seen before says nothing new."""
        current = {(report.frontend, report.incarnation): report for report in reports}
        for source, report in current.items():
            watch = self._watched.get(source)
            if watch is None:
                self._watched[source] = _Watch(report)
            elif report.at_us > watch.last.at_us:
                self._sample(watch, report)
            for key in report.arrivals:
                self._since_us.setdefault(key, now_us)
        self._fade(current.keys(), now_us)
        self._observed_us = now_us

    def rate(self, key: str) -> float:
        """Items/s of a session, or frames/s of a query."""
        slow = sum(watch.slow[key].value for watch in self._watched.values() if key in watch.slow)
        fast = sum(watch.fast[key].value for watch in self._watched.values() if key in watch.fast)
        stepped = fast > slow + STEP_SIGMAS * _deviation(slow, self._fast_tau_us)
        return fast if stepped else slow

    def watched_us(self, key: str, now_us: int) -> int:
        """For how long the key has been seen."""
        return now_us - self._since_us.get(key, now_us)

    def deviation(self, rate: float) -> float:
        """The standard deviation of this estimate if arrivals at that rate were Poisson."""
        return _deviation(rate, self.tau_us)

    def _sample(self, watch: _Watch, report: FrontendReport) -> None:
        elapsed_us = report.at_us - watch.last.at_us
        for key in watch.last.arrivals.keys() | report.arrivals.keys():
            arrived = report.arrivals.get(key, 0) - watch.last.arrivals.get(key, 0)
            sample = max(0, arrived) * US_PER_S / elapsed_us
            for averages, tau_us in ((watch.slow, self.tau_us), (watch.fast, self._fast_tau_us)):
                alpha = -math.expm1(-elapsed_us / tau_us)
                averages.setdefault(key, _Average()).add(sample, alpha)
        watch.last = report

    def _fade(self, current: Iterable[_Source], now_us: int) -> None:
        if self._observed_us is None:
            return
        keep = math.exp((self._observed_us - now_us) / self.tau_us)
        for source in self._watched.keys() - set(current):
            watch = self._watched[source]
            for average in (*watch.slow.values(), *watch.fast.values()):
                average.total *= keep
            if all(average.value < RATE_FORGOTTEN for average in watch.slow.values()):
                del self._watched[source]


def _deviation(rate: float, tau_us: int) -> float:
    return math.sqrt(rate * US_PER_S / (2 * tau_us))
