"""Arrival processes: when requests come, as absolute microseconds from the start.

Seeded and lazy; the load generator of `nexus bench` draws from the same functions, so a simulated
and a real run of one scenario are offered the same arrivals.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from nexus.core.errors import InvalidArgumentError
from nexus.core.units import US_PER_S, us_from_s
from nexus.scheduler import scenario


class ArrivalKind(Enum):
    """The processes of a scenario file."""

    UNIFORM = "uniform"
    POISSON = "poisson"
    BURSTY = "bursty"
    STEP = "step"
    DIURNAL = "diurnal"
    TRACE = "trace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """One stream of requests.

    ``rate`` is requests/s. ``cv`` is the coefficient of variation of the gaps of a bursty (gamma)
    process. A step multiplies the rate by ``factor`` from ``at_us`` until ``until_us`` (0: to the
    end). A diurnal rate swings by ``amplitude`` (a share of it) around its mean in ``period_us``,
    beginning at its lowest. Both have Poisson gaps. A trace comes at ``trace_us``.
    """

    rate: float
    kind: ArrivalKind = ArrivalKind.POISSON
    cv: float = 1.0
    at_us: int = 0
    until_us: int = 0
    factor: float = 1.0
    period_us: int = 60 * US_PER_S
    amplitude: float = 0.5
    trace_us: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on a rate, a CV, a factor or a swing that cannot be."""
        if not 0 <= self.rate < math.inf or self.cv <= 0 or self.factor < 0:
            raise InvalidArgumentError(
                f"arrivals: rate {self.rate}, cv {self.cv}, factor {self.factor} must be finite, "
                "rate and factor >= 0, cv > 0",
                reason="invalid_arrivals",
            )
        if self.period_us <= 0 or not 0 <= self.amplitude <= 1:
            raise InvalidArgumentError(
                f"arrivals: period {self.period_us} us must be positive and amplitude "
                f"{self.amplitude} in [0, 1]",
                reason="invalid_arrivals",
            )


def arrivals_of(declared: scenario.Arrivals, rate: float) -> Arrivals:
    """A scenario's arrivals at ``rate`` requests/s; raise InvalidArgumentError on bad parameters.

    Parameters: ``cv`` (bursty); ``at_s``, ``until_s`` and ``factor`` (step); ``period_s`` and
    ``amplitude`` (diurnal); ``times_s``, a list, and ``speed``, how fast it is played (trace).
    """
    parameters = declared.parameters
    times_s = parameters.get("times_s", [])
    if not isinstance(times_s, Sequence) or not all(isinstance(t, int | float) for t in times_s):
        raise InvalidArgumentError(
            f"arrivals: times_s must be a list of seconds, got {times_s!r}",
            reason="invalid_arrivals",
        )
    speed = _number(parameters, "speed", 1.0)
    return Arrivals(
        rate=rate,
        kind=ArrivalKind(declared.kind),
        cv=_number(parameters, "cv", 1.0),
        at_us=us_from_s(_number(parameters, "at_s", 0.0)),
        until_us=us_from_s(_number(parameters, "until_s", 0.0)),
        factor=_number(parameters, "factor", 1.0),
        period_us=us_from_s(_number(parameters, "period_s", 60.0)),
        amplitude=_number(parameters, "amplitude", 0.5),
        trace_us=tuple(sorted(us_from_s(t / speed) for t in times_s)),
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
    times: Iterator[int]
    match arrivals.kind:
        case ArrivalKind.TRACE:
            times = (when_us for when_us in arrivals.trace_us if when_us < duration_us)
        case ArrivalKind.UNIFORM:
            times = _uniform(arrivals.rate, duration_us)
        case ArrivalKind.BURSTY:
            times = _gamma(arrivals.rate, arrivals.cv, duration_us, rng)
        case ArrivalKind.STEP:
            times = _step(arrivals, duration_us, rng)
        case ArrivalKind.DIURNAL:
            times = _diurnal(arrivals, duration_us, rng)
        case ArrivalKind.POISSON:
            times = _poisson(arrivals.rate, 0, duration_us, rng)
    return times


def _uniform(rate: float, duration_us: int) -> Iterator[int]:
    if rate <= 0:
        return
    mean_us = US_PER_S / rate
    when_us = 0.0
    while when_us < duration_us:
        yield int(when_us)
        when_us += mean_us


def _poisson(rate: float, from_us: float, until_us: float, rng: random.Random) -> Iterator[int]:
    """``rng.expovariate`` written out: a long simulation draws millions of gaps."""
    if rate <= 0:
        return
    mean_us = US_PER_S / rate
    log, uniform = math.log, rng.random
    when_us = from_us - mean_us * log(1.0 - uniform())
    while when_us < until_us:
        yield int(when_us)
        when_us -= mean_us * log(1.0 - uniform())


def _gamma(rate: float, cv: float, duration_us: int, rng: random.Random) -> Iterator[int]:
    if rate <= 0:
        return
    shape = 1 / cv**2
    scale_us = US_PER_S / rate / shape
    when_us = rng.gammavariate(shape, scale_us)
    while when_us < duration_us:
        yield int(when_us)
        when_us += rng.gammavariate(shape, scale_us)


def _step(arrivals: Arrivals, duration_us: int, rng: random.Random) -> Iterator[int]:
    """Poisson arrivals forget: each stretch of constant rate may begin anew."""
    until_us = arrivals.until_us or duration_us
    yield from _poisson(arrivals.rate, 0, min(arrivals.at_us, duration_us), rng)
    stepped = arrivals.rate * arrivals.factor
    yield from _poisson(stepped, arrivals.at_us, min(until_us, duration_us), rng)
    yield from _poisson(arrivals.rate, until_us, duration_us, rng)


def _diurnal(arrivals: Arrivals, duration_us: int, rng: random.Random) -> Iterator[int]:
    """Thinning: arrivals at the highest rate, each kept with the share that the present has."""
    highest = 1 + arrivals.amplitude
    turn = 2 * math.pi / arrivals.period_us
    for when_us in _poisson(arrivals.rate * highest, 0, duration_us, rng):
        share = 1 - arrivals.amplitude * math.cos(turn * when_us)
        if rng.random() * highest < share:
            yield when_us
