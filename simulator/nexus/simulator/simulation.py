"""Run a scenario in virtual time and report what came of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from nexus.core.clock import MonotonicClock
from nexus.core.names import BackendName, DeviceType, SessionName, stage_session_name
from nexus.core.session import Session, SessionLoad
from nexus.core.units import US_PER_S, s_from_us
from nexus.scheduler.plan_scenario import workload_of
from nexus.scheduler.planner import lower_bound
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.stage_rates import stage_rates
from nexus.simulator.clients import Clients
from nexus.simulator.faults import Faults
from nexus.simulator.garbage import collecting_seldom
from nexus.simulator.hopeless import bad_max, run_hopefully
from nexus.simulator.ledger import Account, Ledger
from nexus.simulator.report import DeviceUse, SimulationReport
from nexus.simulator.simulated_cluster import SimulatedCluster, SimulationSettings

SETTLE_US = 3 * US_PER_S
"""Arrivals begin no earlier: the first plan is made, loaded and routed."""

SETTLE_MAX_US = 60 * US_PER_S
"""... nor later, should the first plan never be rolled out."""

SETTLE_STEP_US = US_PER_S // 2


class Simulation:
    """One run, step by step: ``settle``, then ``offer``, then ``run_until``, then ``report``.

    ``from_us`` is when the first request may come.
    """

    def __init__(self, scenario: Scenario, settings: SimulationSettings | None = None) -> None:
        """Build the cluster; raise InvalidArgumentError for a scenario without device counts."""
        self.scenario = scenario
        self.settings = settings or SimulationSettings(seed=scenario.seed)
        self.cluster = SimulatedCluster(scenario, self.settings)
        self.from_us = SETTLE_US

    @property
    def until_us(self) -> int:
        """The last request comes before this."""
        return self.from_us + self.scenario.duration_us

    def settle(self) -> None:
        """Run until the first plan is rolled out."""
        world = self.cluster.world
        self.cluster.start()
        world.run_until(SETTLE_US)
        while not self.cluster.is_rolled_out and world.now_us < SETTLE_MAX_US:
            world.run_until(world.now_us + SETTLE_STEP_US)
        self.from_us = world.now_us
        self.cluster.ledger.counted_from_us = self.from_us + self.settings.warmup_us

    def offer(self) -> None:
        """Schedule the requests and the faults."""
        cluster = self.cluster
        clients = Clients(cluster.world, cluster.ledger, cluster.frontends)
        clients.offer(self.scenario, self.from_us, self.settings.seed + 1)
        faults = Faults(cluster)
        for fault in self.scenario.faults:
            faults.schedule(fault, self.from_us)

    def finish(self) -> None:
        """Run to the end of every deadline.

        Raises:
            LedgerError: a request has no answer.
            HopelessRunError: what the settings ask for is out of reach.
        """
        slos_us = [entry.session.slo_us for entry in self.scenario.sessions]
        slos_us += (entry.query.slo_us for entry in self.scenario.queries)
        last_us = self.until_us + max(slos_us, default=0) + US_PER_S
        # Who stands still answers when it goes on.
        faults = self.scenario.faults
        heals_us = [self.from_us + f.at_us + f.for_us for f in faults if f.for_us is not None]
        end_us = max([last_us, *(heal + US_PER_S for heal in heals_us)])
        allowed = bad_max(self.scenario, self.settings.good_min)
        run_hopefully(self.cluster.world, self.cluster.ledger, end_us, allowed)
        self.cluster.ledger.close()

    def report(self) -> SimulationReport:
        """What came of it."""
        cluster = self.cluster
        return report_of(
            self.scenario,
            cluster.ledger,
            self.until_us,
            policy=self.scenario.policy,
            seed=self.settings.seed,
            batches=self._batches(),
            devices=self._devices(),
            plans=len(cluster.plans),
            events=cluster.world.events,
        )

    def _batches(self) -> dict[SessionName, dict[int, int]]:
        total: dict[SessionName, dict[int, int]] = {}
        for _, device in self.cluster.devices():
            for session, sizes in device.batches.items():
                sums = total.setdefault(session, {})
                for size, count in sizes.items():
                    sums[size] = sums.get(size, 0) + count
        return {name: dict(sorted(total[name].items())) for name in sorted(total)}

    def _devices(self) -> list[DeviceUse]:
        """The use of each device, whatever processes it had one after another."""
        from_us = self.cluster.ledger.counted_from_us
        busy: dict[BackendName, list[int]] = {}
        types: dict[BackendName, DeviceType] = {}
        for name, device in self.cluster.devices():
            seconds = device.busy_us_by_second(from_us, self.until_us)
            before = busy.get(name, [0] * len(seconds))
            busy[name] = [sum(both) for both in zip(before, seconds, strict=True)]
            types[name] = device.type
        return [
            DeviceUse(backend=name, device=types[name], busy_us_by_second=tuple(seconds))
            for name, seconds in busy.items()
        ]


def simulate(
    scenario: Scenario,
    settings: SimulationSettings | None = None,
    during: Callable[[SimulatedCluster], None] | None = None,
) -> SimulationReport:
    """Simulate ``scenario``; ``during`` may schedule changes before the first request comes.

    Raises:
        InvalidArgumentError: a device has no count, or the policy is unknown.
        LedgerError: an invariant broke.
        HopelessRunError: what the settings ask for is out of reach.
    """
    clock = MonotonicClock()
    started_us = clock.now_us()
    with collecting_seldom():
        simulation = Simulation(scenario, settings)
        simulation.settle()
        if during is not None:
            during(simulation.cluster)
        simulation.offer()
        simulation.finish()
    return replace(simulation.report(), wall_s=s_from_us(clock.now_us() - started_us))


def report_of(
    scenario: Scenario,
    ledger: Ledger,
    until_us: int,
    *,
    policy: str,
    seed: int,
    batches: Mapping[SessionName, Mapping[int, int]],
    devices: Sequence[DeviceUse],
    plans: int,
    events: int,
) -> SimulationReport:
    """What the ledger says of a run whose last request came before ``until_us``."""
    accounts, counted_us = ledger.accounts, until_us - ledger.counted_from_us
    sessions = {e.session.name: accounts.get(e.session.name, Account()) for e in scenario.sessions}
    queries = {e.query.name: accounts.get(e.query.name, Account()) for e in scenario.queries}
    offered = {
        name: account.offered / s_from_us(counted_us)
        for name, account in (sessions | queries).items()
    }
    return SimulationReport(
        scenario=scenario.name,
        policy=policy,
        seed=seed,
        simulated_us=counted_us,
        sessions=sessions,
        queries=queries,
        batches=batches,
        devices=devices,
        lower_bound=devices_at_best(scenario, offered),
        plans=plans,
        events=events,
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
