"""Arrival processes: when requests come, as absolute microseconds from the start.

Seeded and lazy; the load generator of `nexus bench` draws from the same functions, so a simulated
and a real run of one scenario are offered the same arrivals.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_S, us_from_s
from nexus.scheduler import scenario


class ArrivalKind(Enum):
    """The processes of scenario.md."""

    UNIFORM = "uniform"
    POISSON = "poisson"
    BURSTY = "bursty"
    STEP = "step"
    TRACE = "trace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """One stream of requests.

    ``rate`` is requests/s. ``cv`` is the coefficient of variation of the gaps of a bursty (gamma)
    process. A step multiplies the rate by ``factor`` from ``at_us`` on, with Poisson gaps.
    """

    rate: float
    kind: ArrivalKind = ArrivalKind.POISSON
    cv: float = 1.0
    at_us: int = 0
    factor: float = 1.0
    trace_us: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on a rate, a CV or a factor that cannot be."""
        if not 0 <= self.rate < math.inf or self.cv <= 0 or self.factor < 0:
            raise InvalidArgumentError(
                f"arrivals: rate {self.rate}, cv {self.cv}, factor {self.factor} must be finite, "
                "rate and factor >= 0, cv > 0",
                reason="invalid_arrivals",
            )


def arrivals_of(declared: scenario.Arrivals, rate: float) -> Arrivals:
    """A scenario's arrivals at ``rate`` requests/s; raise InvalidArgumentError on bad parameters.

    Parameters: ``cv`` (bursty); ``at_s`` and ``factor`` (step); ``times_s``, a list (trace).
    """
    parameters = declared.parameters
    times_s = parameters.get("times_s", [])
    if not isinstance(times_s, list) or not all(isinstance(t, int | float) for t in times_s):
        raise InvalidArgumentError(
            f"arrivals: times_s must be a list of seconds, got {times_s!r}",
            reason="invalid_arrivals",
        )
    return Arrivals(
        rate=rate,
        kind=ArrivalKind(declared.kind),
        cv=_number(parameters, "cv", 1.0),
        at_us=us_from_s(_number(parameters, "at_s", 0.0)),
        factor=_number(parameters, "factor", 1.0),
        trace_us=tuple(sorted(us_from_s(t) for t in times_s)),
    )


def _number(parameters: Mapping[str, object], key: str, default: float) -> float:
    value = parameters.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentError(
            f"arrivals: {key} must be a number, got {value!r}", reason="invalid_arrivals"
        )
    return float(value)


def arrival_times(arrivals: Arrivals, duration_us: int, rng: random.Random) -> Iterator[int]:
    """Times of all requests in [0, duration_us), in order."""
    if arrivals.kind is ArrivalKind.TRACE:
        yield from (when_us for when_us in arrivals.trace_us if when_us < duration_us)
        return
    when_us = _gap_us(arrivals, 0.0, rng) if arrivals.kind is not ArrivalKind.UNIFORM else 0.0
    while when_us < duration_us:
        yield int(when_us)
        when_us += _gap_us(arrivals, when_us, rng)


def _gap_us(arrivals: Arrivals, now_us: float, rng: random.Random) -> float:
    stepped = arrivals.kind is ArrivalKind.STEP and now_us >= arrivals.at_us
    rate = arrivals.rate * (arrivals.factor if stepped else 1.0)
    if rate <= 0:
        return math.inf if arrivals.rate <= 0 or stepped else float(arrivals.at_us - now_us)
    mean_us = US_PER_S / rate
    if arrivals.kind is ArrivalKind.UNIFORM:
        return mean_us
    if arrivals.kind is ArrivalKind.BURSTY:
        shape = 1 / arrivals.cv**2
        return rng.gammavariate(shape, mean_us / shape)
    return rng.expovariate(1 / mean_us)
