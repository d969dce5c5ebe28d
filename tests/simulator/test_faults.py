"""What breaks, heals: each kind of fault, alone, in a small world."""

from dataclasses import replace

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile
from nexus.core.request import DropReason
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import (
    Fault,
    FaultKind,
    Network,
    NodeKind,
    NodeReference,
    Scenario,
    ScenarioModel,
    ScenarioSession,
)
from nexus.simulator.simulation import Simulation

PROFILE = Profile(
    model="resnet50",
    device="v100",
    latencies_us=tuple(10_000 + 2_000 * batch for batch in range(1, 33)),
    load_us=300_000,
)
SESSION = "resnet50@200ms"
BASE = Scenario(
    name="faults",
    policy="nexus",
    devices=(DeviceSpec(type="v100", count=3),),
    models=(ScenarioModel(name="resnet50", profiles={"v100": PROFILE}, max_batch=32),),
    sessions=(
        ScenarioSession(
            session=Session(model="resnet50", slo_us=200_000, expected_rate=450), rate=80
        ),
    ),
    network=Network(delay_us=200),
    duration_us=12 * US_PER_S,
    frontends=2,
    schedulers=2,
)


def fault(kind: FaultKind, what: NodeKind, index: int = 0, for_s: float | None = None) -> Fault:
    return Fault(
        at_us=2 * US_PER_S,
        kind=kind,
        nodes=(NodeReference(what, index),),
        for_us=None if for_s is None else round(for_s * US_PER_S),
    )


def run(*faults: Fault, base: Scenario = BASE) -> Simulation:
    simulation = Simulation(replace(base, faults=faults))
    simulation.settle()
    simulation.offer()
    simulation.finish()
    return simulation


def good_between(simulation: Simulation, from_s: float, until_s: float) -> float:
    account = simulation.report().sessions[SESSION]
    return account.good_fraction_between(round(from_s * 1e6), round(until_s * 1e6))


def test_faults_none_and_all_is_good() -> None:
    assert run().report().worst == 1.0


def test_faults_killed_backend_comes_back_and_serves() -> None:
    base = replace(BASE, devices=(DeviceSpec(type="v100", count=2),))
    simulation = run(fault(FaultKind.KILL, NodeKind.BACKEND, 0, for_s=2), base=base)
    assert good_between(simulation, 2, 3) > 0.95, "what it had was sent to others"
    assert good_between(simulation, 7, 12) == 1.0
    (backend,) = [b for b in simulation.cluster.backends.values() if b.incarnation == 2]
    assert backend.name == "v100-0"
    assert backend.engine.status().loaded == (SESSION,)


def test_faults_killed_frontend_fails_its_clients_and_nobody_else() -> None:
    simulation = run(fault(FaultKind.KILL, NodeKind.FRONTEND, 1))
    account = simulation.report().sessions[SESSION]
    assert 0 < account.failed < 20
    assert account.good + account.failed == account.offered
    assert len(simulation.cluster.frontends) == 1


def test_faults_all_frontends_dead_fails_every_request() -> None:
    faults = [fault(FaultKind.KILL, NodeKind.FRONTEND, index) for index in range(2)]
    assert good_between(run(*faults), 3, 12) == 0.0


def test_faults_standby_takes_over_from_a_dead_scheduler() -> None:
    later = replace(fault(FaultKind.KILL, NodeKind.BACKEND), at_us=3 * US_PER_S)
    simulation = run(fault(FaultKind.KILL, NodeKind.SCHEDULER), later)
    (standby,) = simulation.cluster.schedulers
    assert standby.engine.leading
    plan = simulation.cluster.store.plan
    assert plan.fence == 2
    assert "v100-0" not in {backend.backend for backend in plan.backends if backend.placements}


def test_faults_scheduler_that_stood_still_gives_way() -> None:
    simulation = run(fault(FaultKind.STALL, NodeKind.SCHEDULER, 0, for_s=5))
    leading = [s.name for s in simulation.cluster.schedulers if s.engine.leading]
    assert leading == ["scheduler-1"]
    assert simulation.report().worst == 1.0


@pytest.mark.parametrize("for_s", [0.5, 5.0])
def test_faults_store_away_and_requests_go_on(for_s: float) -> None:
    simulation = run(fault(FaultKind.STALL, NodeKind.STORE, 0, for_s=for_s))
    assert simulation.report().worst == 1.0


@pytest.mark.parametrize("for_s", [0.3, 4.0])
def test_faults_backend_that_stood_still_is_used_again(for_s: float) -> None:
    simulation = run(fault(FaultKind.STALL, NodeKind.BACKEND, 0, for_s=for_s))
    assert good_between(simulation, 2, 2.1) < 1.0
    assert good_between(simulation, 9.5, 12) == 1.0


@pytest.mark.parametrize("for_s", [0.3, 4.0])
def test_faults_partition_heals(for_s: float) -> None:
    parted = replace(
        fault(FaultKind.PARTITION, NodeKind.FRONTEND, 0, for_s=for_s),
        apart_from=(NodeReference(NodeKind.BACKEND),),
    )
    simulation = run(parted)
    assert good_between(simulation, 2, 2.2) < 0.9
    assert good_between(simulation, 2.5 + for_s, 12) == 1.0


def test_faults_frontend_that_stood_still_answers_what_it_may_not_call_good() -> None:
    simulation = run(fault(FaultKind.STALL, NodeKind.FRONTEND, 0, for_s=1))
    account = simulation.report().sessions[SESSION]
    assert set(account.dropped) <= {DropReason.DEADLINE, DropReason.OVERLOADED}
    assert good_between(simulation, 4, 12) == 1.0


def test_faults_connections_break_and_are_made_anew() -> None:
    base = replace(BASE, network=Network(delay_us=200, reset=0.002))
    simulation = run(base=base)
    assert simulation.cluster.connections_made > 8, "two frontends, two backends, and anew"
    assert simulation.report().worst > 0.95, "what was under way is sent again"
