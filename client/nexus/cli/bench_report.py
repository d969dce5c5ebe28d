"""What a load generator saw: per session and as a whole. Pure."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus.cli.bench_schedule import Source
from nexus.cli.output import table_lines
from nexus.core.errors import (
    CallCancelledError,
    DeadlineError,
    NexusError,
    RefusedError,
    UnavailableError,
)
from nexus.core.units import ms_from_us

_DROPS = (RefusedError, DeadlineError, UnavailableError, CallCancelledError)
LAG_WARNING_US = 5_000
"""A send lag p99 above this says that the generator, not the cluster, may be what is slow."""


@dataclass(slots=True)
class Tally:
    """One source's account. Latencies run from when a request was *due*, in us."""

    offered: int = 0
    good: int = 0
    late: int = 0
    failed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    latencies_us: list[int] = field(default_factory=list)
    first_failure: str = ""

    def answered(self, latency_us: int, slo_us: int) -> None:
        """An answer came; it is good only within the SLO."""
        self.offered += 1
        self.latencies_us.append(latency_us)
        if latency_us <= slo_us:
            self.good += 1
        else:
            self.late += 1

    def refused(self, error: NexusError) -> None:
        """No answer: a drop with its reason, or a failure that needs a look."""
        self.offered += 1
        if isinstance(error, _DROPS):
            self.dropped[error.reason] += 1
        else:
            self.failed += 1
            self.first_failure = self.first_failure or error.message


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """A whole run. ``lags_us`` is how late each request was sent; ``unsent`` were never sent."""

    seconds: float
    tallies: Mapping[Source, Tally]
    lags_us: Sequence[int]
    unsent: int = 0

    @property
    def goodput(self) -> float:
        """Requests answered in time, a second."""
        return sum(tally.good for tally in self.tallies.values()) / self.seconds

    @property
    def bad_fraction(self) -> float:
        """The share of all requests, sent or not, that was not answered in time."""
        offered = self.unsent + sum(tally.offered for tally in self.tallies.values())
        good = sum(tally.good for tally in self.tallies.values())
        return 1 - good / offered if offered else 0.0

    @property
    def lag_p99_us(self) -> int:
        """The send lag's 99th percentile."""
        return percentile(self.lags_us, 0.99)

    def as_data(self) -> dict[str, Any]:
        """What ``--json`` prints; the keys of sessions are those of ``nexus simulate``."""
        return {
            "seconds": self.seconds,
            "requests": self.unsent + sum(tally.offered for tally in self.tallies.values()),
            "goodput": round(self.goodput, 3),
            "bad_fraction": round(self.bad_fraction, 6),
            "send_lag_p99_ms": ms_from_us(self.lag_p99_us),
            "unsent": self.unsent,
            "sessions": [
                {"session": source.name, **_tally_data(tally)}
                for source, tally in self.tallies.items()
                if not source.is_query
            ],
            "queries": [
                {"query": source.name, **_tally_data(tally)}
                for source, tally in self.tallies.items()
                if source.is_query
            ],
        }

    def as_text(self) -> str:
        """What people read."""
        headings = ("session", "offered", "good %", "late", "failed", "p50 ms", "p99 ms", "dropped")
        rows = [_row(source, tally) for source, tally in self.tallies.items()]
        lines = table_lines(headings, rows)
        lines.append(
            f"goodput {self.goodput:.1f}/s, {100 * self.bad_fraction:.2f} % bad, "
            f"send lag p99 {ms_from_us(self.lag_p99_us):.1f} ms"
        )
        lines += self._warnings()
        return "\n".join(lines)

    def _warnings(self) -> list[str]:
        warnings = [
            f"{source.name} failed, first with: {tally.first_failure}"
            for source, tally in self.tallies.items()
            if tally.failed
        ]
        if self.lag_p99_us > LAG_WARNING_US or self.unsent:
            warnings.append(
                f"the generator was too slow for this rate (send lag, {self.unsent} unsent): "
                "the latencies above include its own delay"
            )
        return [f"warning: {warning}" for warning in warnings]


def percentile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least ``share`` of all are not above; 0 of none."""
    if not values:
        return 0
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _tally_data(tally: Tally) -> dict[str, Any]:
    return {
        "offered": tally.offered,
        "good": tally.good,
        "late": tally.late,
        "dropped": dict(sorted(tally.dropped.items())),
        "failed": tally.failed,
        "p50_ms": ms_from_us(percentile(tally.latencies_us, 0.5)),
        "p99_ms": ms_from_us(percentile(tally.latencies_us, 0.99)),
    }


def _row(source: Source, tally: Tally) -> tuple[object, ...]:
    good_percent = round(100 * tally.good / tally.offered, 2) if tally.offered else 0.0
    drops = ", ".join(f"{reason} {count}" for reason, count in sorted(tally.dropped.items()))
    p50_us, p99_us = (percentile(tally.latencies_us, share) for share in (0.5, 0.99))
    return (
        source.name,
        tally.offered,
        good_percent,
        tally.late,
        tally.failed,
        round(ms_from_us(p50_us), 1),
        round(ms_from_us(p99_us), 1),
        drops,
    )
