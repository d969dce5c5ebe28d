"""Run a scenario in virtual time and count what came of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nexus.core.query import Query
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import Scenario
from nexus.simulator.arrivals import Arrivals, arrival_times, arrivals_of
from nexus.simulator.ledger import Account
from nexus.simulator.simulated_cluster import SimulatedCluster, SimulationSettings

SETTLE_US = 3 * US_PER_S
"""Arrivals begin this late: the first plan is made, loaded and routed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationReport:
    """What came of a run: accounts by session and query, and how the devices were used."""

    accounts: dict[str, Account]
    busy_fraction: float
    mean_batch: float
    plans: int
    events: int


def simulate(
    scenario: Scenario,
    settings: SimulationSettings | None = None,
    during: Callable[[SimulatedCluster], None] | None = None,
) -> SimulationReport:
    """Simulate ``scenario``; ``during`` may schedule faults and changes before it begins.

    Raises LedgerError when an invariant breaks, InvalidArgumentError for a scenario without device
    counts.
    """
    settings = settings or SimulationSettings(seed=scenario.seed)
    cluster = SimulatedCluster(scenario, settings)
    cluster.start()
    if during is not None:
        during(cluster)
    _offer(cluster, scenario, random.Random(settings.seed + 1))  # noqa: S311 - reproducible
    slo_max_us = max(
        [e.session.slo_us for e in scenario.sessions] + [e.query.slo_us for e in scenario.queries]
    )
    end_us = SETTLE_US + scenario.duration_us
    cluster.world.run_until(end_us + slo_max_us + US_PER_S)
    cluster.ledger.close()
    backends = cluster.backends.values()
    batches = sum(backend.batches for backend in backends)
    return SimulationReport(
        accounts=cluster.ledger.accounts,
        busy_fraction=sum(b.busy_us for b in backends) / (cluster.world.now_us * len(backends)),
        mean_batch=sum(b.items for b in backends) / batches if batches else 0.0,
        plans=len(cluster.scheduler.plans),
        events=cluster.world.events,
    )


def _offer(cluster: SimulatedCluster, scenario: Scenario, rng: random.Random) -> None:
    frontends = cluster.frontends

    def ask_session(session: Session, index: int) -> None:
        frontends[index].submit(session.name, session.slo_us)

    def ask_query(query: Query, index: int) -> None:
        frontends[index].submit_query(query.name, query.slo_us)

    for entry in scenario.sessions:
        arrivals = arrivals_of(entry.arrivals, entry.rate)
        ask = partial(ask_session, entry.session)
        _stream(cluster, arrivals, scenario.duration_us, rng, ask)
    for asked in scenario.queries:
        arrivals = arrivals_of(asked.arrivals, asked.rate)
        _stream(cluster, arrivals, scenario.duration_us, rng, partial(ask_query, asked.query))


def _stream(
    cluster: SimulatedCluster,
    arrivals: Arrivals,
    duration_us: int,
    rng: random.Random,
    submit: Callable[[int], None],
) -> None:
    """Let one stream's requests come, each at a frontend drawn at random, one ahead at a time."""
    own = random.Random(rng.getrandbits(64))  # noqa: S311 - reproducible, not secret
    times = arrival_times(arrivals, duration_us, own)

    def next_one() -> None:
        when_us = next(times, None)
        if when_us is not None:
            cluster.world.at(SETTLE_US + when_us, arrive)

    def arrive() -> None:
        submit(own.randrange(len(cluster.frontends)))
        next_one()

    next_one()
