"""Searches of the highest rate: a run that has lost already need not be run to its end.

Half of the runs of a search fail, and those far above the capacity do so within a fraction of their
time. A run is hopeless once some session or query has more bad requests than the promise allows of
all that may still come. What holds is never touched, so a search finds the same with and without.
"""

import math
from collections.abc import Mapping

from nexus.core.units import US_PER_S, s_from_us
from nexus.scheduler.scenario import Scenario
from nexus.simulator.arrivals import ArrivalKind, Arrivals, arrivals_of
from nexus.simulator.ledger import Ledger
from nexus.simulator.world import World

LOOK_US = US_PER_S // 10
"""Virtual time between two looks at the accounts."""
DEVIATIONS = 5
"""By chance more requests come than are expected: never by more standard deviations than this."""


class HopelessRunError(Exception):
    """Some session or query can no longer have the share of good answers that is asked for."""


def run_hopefully(
    world: World, ledger: Ledger, until_us: int, bad_max: Mapping[str, float]
) -> None:
    """Run until ``until_us``; ``bad_max`` is how many bad requests each may have (of ``bad_max``).

    Raises:
        HopelessRunError: one has more.
    """
    while bad_max and world.now_us < until_us:
        world.run_until(min(until_us, world.now_us + LOOK_US))
        for name, account in ledger.accounts.items():
            if account.bad > bad_max[name]:
                raise HopelessRunError(f"{name}: {account.bad} bad requests of {account.offered}")
    world.run_until(until_us)


def bad_max(scenario: Scenario, good_min: float) -> dict[str, float]:
    """How many bad requests each session and query may have, if ``good_min`` must be good.

    Empty when nothing is asked for.
    """
    if not good_min:
        return {}
    streams = [(e.session.name, e.arrivals, e.rate) for e in scenario.sessions]
    streams += [(e.query.name, e.arrivals, e.rate) for e in scenario.queries]
    return {
        name: (1 - good_min) * requests_max(arrivals_of(arrivals, rate), scenario.duration_us)
        for name, arrivals, rate in streams
    }


def requests_max(arrivals: Arrivals, duration_us: int) -> float:
    """How many requests may come at most: at the highest rate, and by chance."""
    if arrivals.kind is ArrivalKind.TRACE:
        return len(arrivals.trace_us)
    highest = arrivals.rate
    if arrivals.kind is ArrivalKind.STEP:
        highest *= max(1.0, arrivals.factor)
    elif arrivals.kind is ArrivalKind.DIURNAL:
        highest *= 1 + arrivals.amplitude
    mean = highest * s_from_us(duration_us)
    return mean + DEVIATIONS * max(1.0, arrivals.cv) * math.sqrt(mean + 1)
