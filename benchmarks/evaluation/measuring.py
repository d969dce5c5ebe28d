"""One measurement: a run of a scenario under a policy, or the highest rate that it keeps.

Runs in worker processes: what goes in and comes out is plain data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.evaluation.effort import Effort
from nexus.core.units import US_PER_S, s_from_us
from nexus.scheduler.scenario import Scenario
from nexus.simulator.policies import simulate_policy
from nexus.simulator.rate_search import narrowed
from nexus.simulator.report import GOOD_FRACTION_MIN, SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings

WARM_UP_US = US_PER_S // 2
"""Arrivals that are not counted: queues are empty when they begin."""
DURATION_S_MIN, DURATION_S_MAX = 1.0, 60.0
SLOS_MIN = 6
"""A run lasts at least this many times the longest SLO."""
FACTOR_MIN, FACTOR_MAX = 0.02, 1.2
"""A search is between these shares of the rates given: give it rates near the possible."""
LADDER = 1.1
STEPS_DOWN_MAX = 12
"""Long runs may contradict the short ones by so many fine steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario under a policy."""

    scenario: Scenario
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of one run, in requests per second and shares; lists are by second.

    ``error`` says why there is nothing else.
    """

    offered: float = 0.0
    goodput: float = 0.0
    bad_fraction: float = 1.0
    worst: float = 0.0
    devices_used: float = 0.0
    lower_bound: float = 0.0
    mean_batch: float = 0.0
    requests: int = 0
    wall_s: float = 0.0
    offered_by_second: tuple[int, ...] = ()
    good_by_second: tuple[int, ...] = ()
    goods: tuple[float, ...] = ()
    error: str = ""

    @property
    def holds(self) -> bool:
        """Whether every session had what is promised."""
        return self.requests > 0 and self.worst >= GOOD_FRACTION_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The largest factor on the rates at which 99 % of every session was in time, at all seeds.

    ``goodput`` (requests/s) is the mean of the seeds there. A factor of 0 did not hold anywhere.
    ``half`` is the good share of the worst session at half the factor: a policy that saves devices
    may well do worse at a lower load.
    """

    factor: float = 0.0
    goodput: float = 0.0
    half: float = 0.0
    run: Run | None = None
    error: str = ""


def run_case(case: Case, seed: int | None = None) -> Run:
    """Run the case once for as long as its scenario says; failures are in ``error``."""
    try:
        return _as_run(_simulate(case, case.scenario.seed if seed is None else seed))
    except Exception as error:  # noqa: BLE001 - one failed case must not end the evaluation
        return Run(error=f"{type(error).__name__}: {error}")


def find_capacity(case: Case, effort: Effort) -> Capacity:
    """Search the highest rate that the case keeps; failures are in ``error``."""
    try:
        return _search(case, effort)
    except Exception as error:  # noqa: BLE001 - one failed case must not end the evaluation
        return Capacity(error=f"{type(error).__name__}: {error}")


def lasting(scenario: Scenario, requests: int) -> Scenario:
    """The scenario for as long as ``requests`` take to come, within limits."""
    rate = sum(e.rate for e in scenario.sessions) + sum(e.rate for e in scenario.queries)
    slos_us = [e.session.slo_us for e in scenario.sessions]
    slos_us += [e.query.slo_us for e in scenario.queries]
    least_s = max(DURATION_S_MIN, SLOS_MIN * s_from_us(max(slos_us)))
    wanted_s = max(least_s, min(DURATION_S_MAX, requests / rate))
    return replace(scenario, duration_us=round(wanted_s * US_PER_S) + WARM_UP_US)


def _search(case: Case, effort: Effort) -> Capacity:
    def run_at(factor: float, requests: int, seed: int) -> Run:
        scaled = lasting(case.scenario.scaled(factor), requests)
        return _as_run(_simulate(replace(case, scenario=scaled), seed))

    def holds_briefly(factor: float) -> bool:
        return run_at(factor, effort.short, effort.seeds[0]).holds

    def runs_that_hold(factor: float) -> list[Run]:
        runs: list[Run] = []
        for seed in effort.seeds:
            run = run_at(factor, effort.long, seed)
            if not run.holds:
                return []
            runs.append(run)
        return runs

    low, high = narrowed(holds_briefly, FACTOR_MIN, FACTOR_MAX, effort.coarse)
    factor, runs = decided(runs_that_hold, math.sqrt(low * high), effort.fine)
    if not runs:
        factor, runs = decided(runs_that_hold, from_above(holds_briefly), effort.fine)
    if not runs:
        return Capacity()
    goodput = sum(run.goodput for run in runs) / len(runs)
    half = run_at(factor / 2, effort.long, effort.seeds[0]).worst
    return Capacity(factor=factor, goodput=goodput, half=half, run=runs[0])


def from_above(holds: Callable[[float], bool]) -> float:
    """The highest factor on a coarse ladder that holds, for where it is not monotone."""
    factor = FACTOR_MAX
    while factor > FACTOR_MIN and not holds(factor):
        factor /= LADDER
    return factor


def decided(
    runs_at: Callable[[float], list[Run]], start: float, step: float
) -> tuple[float, list[Run]]:
    """The last factor on a ladder from ``start`` that holds, upwards or some way downwards."""
    factor, runs = start, runs_at(start)
    if runs:
        while factor < FACTOR_MAX and (better := runs_at(factor * step)):
            factor, runs = factor * step, better
        return factor, runs
    for _ in range(STEPS_DOWN_MAX):
        factor /= step
        if runs := runs_at(factor):
            break
    return factor, runs


def _simulate(case: Case, seed: int) -> SimulationReport:
    settings = SimulationSettings(seed=seed, warmup_us=WARM_UP_US)
    return simulate_policy(case.scenario, case.policy, settings)


def _as_run(report: SimulationReport) -> Run:
    accounts = report.accounts.values()
    offered_by_second = _summed([account.offered_by_second for account in accounts])
    good_by_second = _summed([account.good_by_second for account in accounts])
    silent = len(offered_by_second) - len(good_by_second)
    return Run(
        offered=report.requests / s_from_us(report.simulated_us),
        goodput=report.goodput,
        bad_fraction=report.bad_fraction,
        worst=report.worst,
        devices_used=report.devices_used,
        lower_bound=sum(report.lower_bound.values()),
        mean_batch=report.mean_batch(),
        requests=report.requests,
        wall_s=report.wall_s,
        offered_by_second=offered_by_second,
        good_by_second=(*good_by_second, *(0,) * silent),
        goods=tuple(account.good_fraction for account in accounts),
    )


def _summed(lists: list[list[int]]) -> tuple[int, ...]:
    length = max((len(values) for values in lists), default=0)
    return tuple(
        sum(values[second] for values in lists if second < len(values)) for second in range(length)
    )
