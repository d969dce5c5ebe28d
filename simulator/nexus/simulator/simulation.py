"""Run a scenario in virtual time and count what came of it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from nexus.core.clock import MonotonicClock
from nexus.core.names import DeviceType, SessionName, stage_session_name
from nexus.core.query import Query
from nexus.core.session import Session, SessionLoad
from nexus.core.units import US_PER_S, s_from_us
from nexus.scheduler.plan_scenario import workload_of
from nexus.scheduler.planner import lower_bound
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.stage_rates import stage_rates
from nexus.simulator.arrivals import Arrivals, arrival_times, arrivals_of
from nexus.simulator.ledger import Account
from nexus.simulator.report import DeviceUse, SimulationReport
from nexus.simulator.simulated_backend import SimulatedBackend
from nexus.simulator.simulated_cluster import SimulatedCluster, SimulationSettings

SETTLE_US = 3 * US_PER_S
"""Arrivals begin this late: the first plan is made, loaded and routed."""


def simulate(
    scenario: Scenario,
    settings: SimulationSettings | None = None,
    during: Callable[[SimulatedCluster], None] | None = None,
) -> SimulationReport:
    """Simulate ``scenario``; ``during`` may schedule faults and changes before it begins.

    Raises LedgerError when an invariant breaks, InvalidArgumentError for a scenario without device
    counts.
    """
    started_us = MonotonicClock().now_us()
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
    report = _report(cluster, scenario, settings)
    return replace(report, wall_s=s_from_us(MonotonicClock().now_us() - started_us))


def _report(
    cluster: SimulatedCluster, scenario: Scenario, settings: SimulationSettings
) -> SimulationReport:
    accounts = cluster.ledger.accounts
    from_us = max(SETTLE_US, settings.warmup_us)
    counted_us = SETTLE_US + scenario.duration_us - from_us
    sessions = {e.session.name: accounts.get(e.session.name, Account()) for e in scenario.sessions}
    queries = {e.query.name: accounts.get(e.query.name, Account()) for e in scenario.queries}
    offered = {name: a.offered / s_from_us(counted_us) for name, a in (sessions | queries).items()}
    return SimulationReport(
        scenario=scenario.name,
        policy=scenario.policy,
        seed=settings.seed,
        simulated_us=counted_us,
        sessions=sessions,
        queries=queries,
        batches=_batches(cluster),
        devices=[_use(backend, from_us, counted_us) for backend in cluster.backends.values()],
        lower_bound=devices_at_best(scenario, offered),
        plans=len(cluster.scheduler.plans),
        events=cluster.world.events,
    )


def devices_at_best(scenario: Scenario, offered: Mapping[str, float]) -> dict[DeviceType, float]:
    """The lower bound at the rates offered (1/s, by session and query name)."""
    workload = workload_of(scenario)
    loads = [SessionLoad(e.session, offered[e.session.name]) for e in scenario.sessions]
    for entry in scenario.queries:
        query = entry.query
        rates = stage_rates(query, offered[query.name], {})
        loads += (
            SessionLoad(
                Session(
                    model=stage.model,
                    slo_us=query.slo_us,
                    name=stage_session_name(query.name, stage.name),
                ),
                rates[stage.name],
            )
            for stage in query.stages
        )
    served = [
        load
        for load in loads
        if any(workload.profile(load.session.model, spec.type) for spec in workload.devices)
    ]
    return lower_bound(served, workload)


def _batches(cluster: SimulatedCluster) -> dict[SessionName, dict[int, int]]:
    total: dict[SessionName, dict[int, int]] = {}
    for backend in cluster.backends.values():
        for session, sizes in backend.batches.items():
            sums = total.setdefault(session, {})
            for size, count in sizes.items():
                sums[size] = sums.get(size, 0) + count
    return total


def _use(backend: SimulatedBackend, from_us: int, counted_us: int) -> DeviceUse:
    seconds = [0] * -(-counted_us // US_PER_S)
    for start_us, took_us in backend.busy:
        at_us, end_us = max(start_us, from_us), min(start_us + took_us, from_us + counted_us)
        while at_us < end_us:
            second = (at_us - from_us) // US_PER_S
            next_us = min(end_us, from_us + (second + 1) * US_PER_S)
            seconds[second] += next_us - at_us
            at_us = next_us
    return DeviceUse(
        backend=backend.name, device=backend.device.type, busy_us_by_second=tuple(seconds)
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
