"""Small random clusters in which random things break; everything follows from one seed.

``check_seed`` runs one with every checker on, and asks for life afterwards: once all faults have
healed and the cluster has had time to notice, nearly every request is good again.
"""

import random
from dataclasses import replace

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile
from nexus.core.query import Query, Stage
from nexus.core.session import Session
from nexus.core.units import US_PER_MS, US_PER_S
from nexus.scheduler.plan_scenario import plan_scenario
from nexus.scheduler.scenario import (
    Arrivals,
    DeviceBehaviour,
    Fault,
    FaultKind,
    Network,
    NodeKind,
    NodeReference,
    Scenario,
    ScenarioModel,
    ScenarioQuery,
    ScenarioSession,
)
from nexus.scheduler.settings import EpochSettings
from nexus.simulator.ledger import Account
from nexus.simulator.report import SimulationReport
from nexus.simulator.simulation import Simulation

CALM_US = US_PER_S
"""Nothing breaks at first: a cluster that never worked would prove nothing."""

FAULTS_FROM_US, FAULTS_UNTIL_US = CALM_US, 4 * US_PER_S
FAULT_MAX_US = 4 * US_PER_S
"""The longest a fault lasts: longer than a lease, a report, and the silence of a connection."""

RECOVERY_US = 10 * US_PER_S
"""From the last healing to life as before: a lease runs out (3 s), a new leader lets all report
(3 s), changes are collected (1 s), a plan is loaded and routed (1 s)."""

JUDGED_US = 3 * US_PER_S
GOOD_AFTERWARDS = 0.5
"""Of the requests sent in the last ``JUDGED_US``, at least; bursts are refused in part."""

BROKEN_BY_RESETS = 0.25
"""Of the same, at most so many have an end that load does not explain where the network breaks
connections: all of a session's work may be on one of them. Elsewhere none has."""

JUDGED_REQUESTS_MIN = 20
LOAD = (0.2, 0.5)
"""The share of the devices' best throughput that is asked for."""

RATE_MAX = 120.0
"""Requests/s in all: what breaks in a thousand requests breaks in a hundred thousand."""


def random_scenario(seed: int) -> Scenario:
    """The cluster, its load and its faults that follow from ``seed``."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    devices = rng.randint(2, 6)
    models = tuple(_model(f"model{index}", rng) for index in range(rng.randint(1, 3)))
    frontends, schedulers = rng.randint(1, 3), rng.randint(1, 2)
    counts = {
        NodeKind.BACKEND: devices,
        NodeKind.FRONTEND: frontends,
        NodeKind.SCHEDULER: schedulers,
        NodeKind.STORE: 1,
    }
    faults = tuple(_fault(counts, rng) for _ in range(rng.randint(1, 4)))
    healed_us = max(fault.at_us + (fault.for_us or 0) for fault in faults)
    scenario = Scenario(
        name=f"fault-seed-{seed}",
        seed=seed,
        duration_us=healed_us + RECOVERY_US + JUDGED_US,
        devices=(DeviceSpec(type="v100", count=devices),),
        models=models,
        network=_network(rng),
        behaviours={"v100": _behaviour(rng)},
        frontends=frontends,
        schedulers=schedulers,
        epochs=EpochSettings(
            epoch_us=rng.randint(4, 12) * US_PER_S, epoch_min_us=2 * US_PER_S, history_us=US_PER_S
        ),
        faults=faults,
    )
    return _loaded(scenario, devices, rng)


def check_seed(seed: int) -> SimulationReport:
    """Run a seed.

    Raises:
        LedgerError: an invariant broke.
        AssertionError: an engine's own check failed, or life did not come back.
    """
    simulation = Simulation(random_scenario(seed))
    simulation.settle()
    assert simulation.cluster.is_rolled_out, "the first plan was never rolled out"
    simulation.offer()
    simulation.finish()
    report = simulation.report()
    broken_max = BROKEN_BY_RESETS if simulation.scenario.network.reset else 0.0
    for name, account in report.accounts.items():
        _require_life(name, account, report.simulated_us, broken_max)
    return report


def _require_life(name: str, account: Account, until_us: int, broken_max: float) -> None:
    """Raise AssertionError when a session's last requests did not fare as before."""
    from_us = until_us - JUDGED_US
    sent, good, broken = (
        sum(at_us >= from_us for at_us in times_us)
        for times_us in (account.sent_at_us, account.good_at_us, account.broken_at_us)
    )
    if sent < JUDGED_REQUESTS_MIN:
        return
    assert good >= GOOD_AFTERWARDS * sent, (
        f"{name}: {good} of the last {sent} requests were good, long after all had healed"
    )
    assert broken <= broken_max * sent, (
        f"{name}: {broken} of the last {sent} requests ended for want of something, long after "
        f"all had healed; in all {account}"
    )


def _model(name: str, rng: random.Random) -> ScenarioModel:
    alpha_us, beta_us = rng.uniform(4_000, 20_000), rng.uniform(10_000, 60_000)
    latencies_us = tuple(round(alpha_us * batch + beta_us) for batch in range(1, 33))
    prepared = rng.random() < 0.3  # noqa: PLR2004 - a share, named by the variable
    profile = Profile(
        model=name,
        device="v100",
        latencies_us=latencies_us,
        preprocess_us=rng.randint(100, 2_000) if prepared else 0,
        postprocess_us=rng.randint(100, 1_000) if prepared else 0,
        load_us=rng.randint(50, 600) * US_PER_MS,
    )
    return ScenarioModel(name=name, profiles={"v100": profile}, max_batch=32)


def _network(rng: random.Random) -> Network:
    lossy = rng.random() < 0.3  # noqa: PLR2004
    return Network(
        delay_us=rng.choice((0, 100, 500, 1_000)),
        jitter_us=rng.choice((0, 0, 200, 1_000)),
        transfer_mbps=rng.choice((0.0, 0.0, 1_000.0)),
        loss=rng.uniform(0, 0.001) if lossy else 0.0,
        reset=rng.uniform(0, 0.0003) if lossy else 0.0,
    )


def _behaviour(rng: random.Random) -> DeviceBehaviour:
    return DeviceBehaviour(jitter=rng.choice((0.0, 0.0, 0.01, 0.03)))


def _fault(counts: dict[NodeKind, int], rng: random.Random) -> Fault:
    node = rng.choices(tuple(counts), weights=(4, 3, 2, 2))[0]
    kind = rng.choice(tuple(FaultKind))
    apart: tuple[NodeReference, ...] = ()
    if kind is FaultKind.PARTITION and rng.random() < 0.6:  # noqa: PLR2004
        other = rng.choice(tuple(counts))
        apart = (NodeReference(other, rng.choice((None, rng.randrange(counts[other])))),)
    return Fault(
        at_us=rng.randint(FAULTS_FROM_US, FAULTS_UNTIL_US),
        kind=kind,
        nodes=(NodeReference(node, rng.randrange(counts[node])),),
        for_us=round(FAULT_MAX_US * rng.random() ** 2) + US_PER_MS,
        apart_from=apart,
    )


def _loaded(scenario: Scenario, devices: int, rng: random.Random) -> Scenario:
    """The scenario with sessions and perhaps a query, at rates its devices can serve."""
    sessions = []
    for index in range(rng.randint(1, 3)):
        model = rng.choice(scenario.models)
        slo_us = _slo_us(model, rng) + index * US_PER_MS
        sessions.append(_session(model.name, slo_us, rng))
    queries = (_query(scenario.models, rng),) if rng.random() < 0.3 else ()  # noqa: PLR2004
    unscaled = replace(scenario, sessions=tuple(sessions), queries=queries)
    needed = sum(plan_scenario(unscaled).plan.lower_bound.values())
    offered = sum(entry.rate for entry in sessions) + sum(entry.rate for entry in queries)
    factor = rng.uniform(*LOAD) * devices / needed
    return unscaled.scaled(min(factor, RATE_MAX / offered))


def _slo_us(model: ScenarioModel, rng: random.Random) -> int:
    return round(model.profiles["v100"].latency_us(8) * rng.uniform(3, 6)) + 20 * US_PER_MS


def _session(model: str, slo_us: int, rng: random.Random) -> ScenarioSession:
    rate = rng.uniform(0.2, 1.0)
    return ScenarioSession(
        session=Session(model=model, slo_us=slo_us, expected_rate=rate),
        rate=rate,
        arrivals=rng.choice(
            (
                Arrivals(),
                Arrivals(kind="uniform"),
                Arrivals(kind="bursty", parameters={"cv": 1.5}),
            )
        ),
        payload_bytes=rng.choice((0, 20_000)),
    )


def _query(models: tuple[ScenarioModel, ...], rng: random.Random) -> ScenarioQuery:
    first, second = rng.choice(models), rng.choice(models)
    stages = (
        Stage(name="first", model=first.name),
        Stage(name="second", model=second.name, after=("first",), fan_out=rng.uniform(0.5, 3)),
    )
    rate = rng.uniform(0.1, 0.4)
    query = Query(
        name="query",
        slo_us=2 * (_slo_us(first, rng) + _slo_us(second, rng)),
        stages=stages,
        expected_rate=rate,
    )
    return ScenarioQuery(query=query, rate=rate)
