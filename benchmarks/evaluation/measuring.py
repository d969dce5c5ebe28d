"""One measurement: a run of a scenario under a policy, or the highest rate that it keeps.

Runs in worker processes: what goes in and comes out is plain data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.evaluation.effort import Effort
from nexus.core.units import US_PER_S, s_from_us
from nexus.scheduler.scenario import Scenario
from nexus.simulator.arrivals import arrivals_of
from nexus.simulator.hopeless import HopelessRunError
from nexus.simulator.policies import simulate_policy
from nexus.simulator.report import GOOD_FRACTION_MIN, SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings

WARM_UP_US = US_PER_S // 2
"""Arrivals that are not counted: queues are empty when they begin."""
DURATION_S_MIN, DURATION_S_MAX = 1.0, 60.0
SLOS_MIN = 6
"""A run lasts at least this many times the longest SLO."""
GROWTH_MAX = 6.0
"""Bursty runs have up to so many times the requests of others."""
RAREST_PART = 50
"""The rarest session is asked at least this part of the requests wanted, if time allows."""
FACTOR_MIN, FACTOR_MAX = 0.02, 1.2
"""A search is between these shares of the rates given: give it rates near the possible."""


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
    """The highest rate that the case keeps; failures are in ``error``."""
    try:
        return _search(case, effort)
    except Exception as error:  # noqa: BLE001 - one failed case must not end the evaluation
        return Capacity(error=f"{type(error).__name__}: {error}")


def lasting(scenario: Scenario, requests: int) -> Scenario:
    """The scenario for as long as ``requests`` take to come, within limits.

    Bursty requests say less each: a run with a coefficient of variation of ``cv`` needs cv^2 times
    as many to know as much. The rarest session is asked often enough to judge it.
    """
    entries = [(e.rate, e.arrivals, e.session.slo_us) for e in scenario.sessions]
    entries += [(e.rate, e.arrivals, e.query.slo_us) for e in scenario.queries]
    rates = [rate for rate, _, _ in entries]
    cv = max(arrivals_of(arrivals, rate).cv for rate, arrivals, _ in entries)
    growth = min(max(1.0, cv**2), GROWTH_MAX)
    least_s = max(DURATION_S_MIN, SLOS_MIN * s_from_us(max(slo_us for _, _, slo_us in entries)))
    enough_s = max(growth * requests / sum(rates), requests / RAREST_PART / min(rates))
    wanted_s = max(least_s, min(DURATION_S_MAX, enough_s))
    return replace(scenario, duration_us=round(wanted_s * US_PER_S) + WARM_UP_US)


class _Runs:
    """The runs of one search, each made once."""

    def __init__(self, case: Case, effort: Effort) -> None:
        """Nothing has run yet."""
        self._case = case
        self._effort = effort
        self._made: dict[tuple[float, int], Run] = {}

    def holds_briefly(self, factor: float) -> bool:
        """Whether a short run holds."""
        return self.at(factor, self._effort.short, self._effort.seeds[0]).holds

    def long(self, factor: float, seeds: Sequence[int]) -> list[Run]:
        """A long run at each seed; none when one does not hold."""
        runs: list[Run] = []
        for seed in seeds:
            key = (factor, seed)
            run = self._made.get(key) or self.at(factor, self._effort.long, seed)
            self._made[key] = run
            if not run.holds:
                return []
            runs.append(run)
        return runs

    def at(
        self, factor: float, requests: int, seed: int, good_min: float = GOOD_FRACTION_MIN
    ) -> Run:
        """A run at ``factor`` times the rates; an empty one when ``good_min`` was out of reach."""
        scaled = lasting(self._case.scenario.scaled(factor), requests)
        try:
            return _as_run(_simulate(replace(self._case, scenario=scaled), seed, good_min))
        except HopelessRunError:
            return Run()


def _search(case: Case, effort: Effort) -> Capacity:
    """Short runs find the neighbourhood, long ones of one seed the rate; the others confirm it."""
    runs_of, seeds = _Runs(case, effort), effort.seeds
    start = from_above(runs_of.holds_briefly, effort.coarse)
    near = decided(lambda factor: bool(runs_of.long(factor, seeds[:1])), start, effort.fine)
    factor = from_above(lambda factor: bool(runs_of.long(factor, seeds)), effort.fine, near)
    runs = runs_of.long(factor, seeds)
    if not runs:
        return Capacity()
    goodput = sum(run.goodput for run in runs) / len(runs)
    half = runs_of.at(factor / 2, effort.long, seeds[0], good_min=0).worst
    return Capacity(factor=factor, goodput=goodput, half=half, run=runs[0])


def from_above(holds: Callable[[float], bool], step: float, start: float = FACTOR_MAX) -> float:
    """The highest factor on a ladder down from ``start`` that holds; FACTOR_MIN if none does.

    Not a bisection: what does not hold is given up early and costs little, and what holds at a
    factor need not hold below, since plans change with the rate.
    """
    factor = start
    while factor > FACTOR_MIN and not holds(factor):
        factor /= step
    return factor


def decided(holds: Callable[[float], bool], start: float, step: float) -> float:
    """The last factor on a ladder from ``start`` that holds: upwards, or else downwards."""
    if not holds(start):
        return from_above(holds, step, start)
    factor = start
    while factor < FACTOR_MAX and holds(factor * step):
        factor *= step
    return factor


def _simulate(case: Case, seed: int, good_min: float = 0.0) -> SimulationReport:
    settings = SimulationSettings(seed=seed, warmup_us=WARM_UP_US, good_min=good_min)
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
