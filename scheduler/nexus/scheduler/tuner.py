"""The fast tuner: what must grow before the next epoch, decided each second (ADR 0024).

The epoch plans by averages and may move anything; between epochs the tuner only ever adds. A key
*surges* when its recent rate is above what was planned for by more than its usual noise explains.
How sure that must be depends on how often one looks: the bar is set so that a cluster of any size
sees about one false alarm an hour. Just after an alarm the bar is lower: a step rarely falls on
the beginning of a second, so the first look after it sees only part of it.

What surged is *held* for a while as a floor of the next plans, until the averages have caught up:
down goes slowly.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nexus.core.units import US_PER_S
from nexus.scheduler.envelope import WINDOWS_US, Recent, Spread, window_rates

LOOKS_AN_HOUR = 3600
ALERT_FALSE_ALARMS = 0.05
"""The chance of a false alarm that is taken for a key just after a true one."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The rate a key surged to, when, and until when it is a floor of plans."""

    rate: float
    at_us: int
    until_us: int


Holds = Mapping[str, Hold]


def surges(
    planned: Mapping[str, float],
    recent: Recent,
    spread: Spread,
    *,
    rate_high: float,
    alert: Collection[str] = (),
) -> dict[str, float]:
    """The keys above what was planned, with the highest rate that a window vouches for.

    ``planned`` are rates by session, query and stage; nothing less than ``rate_high`` times that is
    a surge. ``alert`` are the keys that surged a moment ago.
    """
    tests = max(1, len(planned)) * len(WINDOWS_US) * LOOKS_AN_HOUR
    found: dict[str, float] = {}
    for window_us in WINDOWS_US:
        seconds = window_us / US_PER_S
        for key, rate in window_rates(recent, window_us).items():
            basis = planned.get(key)
            if basis is None or rate <= rate_high * basis or rate <= found.get(key, 0.0):
                continue
            bar = math.log(1 / ALERT_FALSE_ALARMS if key in alert else tests)
            if evidence(rate * seconds, basis * seconds) > bar * spread.dispersion(key):
                found[key] = rate
    return found


def evidence(count: float, expected: float) -> float:
    """Minus the logarithm of a bound on the chance of so many Poisson arrivals (Chernoff).

    About z^2 / 2 for z standard deviations, but true for small counts as well.
    """
    if count <= expected:
        return 0.0
    if expected <= 0:
        return math.inf
    return count * math.log(count / expected) - (count - expected)


def held(holds: Holds, found: Mapping[str, float], now_us: int, hold_us: int) -> Holds:
    """The holds after a look: expired ones are gone, surges begin or raise theirs."""
    current = {key: hold for key, hold in holds.items() if hold.until_us > now_us}
    for key, rate in found.items():
        before = current[key].rate if key in current else 0.0
        current[key] = Hold(max(rate, before), now_us, now_us + hold_us)
    return current


def floors(holds: Holds, now_us: int) -> dict[str, float]:
    """The rates that a plan made now must not go below."""
    return {key: hold.rate for key, hold in holds.items() if hold.until_us > now_us}


def alerted(holds: Holds, now_us: int) -> frozenset[str]:
    """The keys that surged within the longest window: its traffic is partly from before."""
    return frozenset(key for key, h in holds.items() if now_us - h.at_us <= WINDOWS_US[-1])
