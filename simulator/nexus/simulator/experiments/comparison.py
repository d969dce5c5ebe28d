"""Policies on one scenario: the highest rate each keeps its promise at, as plain rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from nexus.core.errors import InfeasibleError
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines import (
    BASELINES,
    Arrangement,
    arrange_baseline,
)
from nexus.simulator.baselines.baseline_run import run_arrangement
from nexus.simulator.policies import simulate_policy
from nexus.simulator.rate_search import Simulate, overall, search_rate, worst
from nexus.simulator.report import GOOD_FRACTION_MIN, SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings

FINE = 1.0025
"""Rates are found to so much: ratios of two of them are compared with published ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one policy achieved in one case of an experiment.

    ``goodput`` is what is answered in time (requests/s of all sessions and queries together) at the
    highest rate at which 99 % is. ``ratio`` is that over the goodput of the policy ``against`` in
    the same case; ``paper`` is the same ratio as published, None where none is. ``share`` is how
    many devices full batches back to back would take, over those there are.
    """

    experiment: str
    case: str
    policy: str
    goodput: float
    against: str
    ratio: float
    paper: float | None = None
    share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSettings:
    """``seconds`` of requests in each run that decides; warm-up included.

    ``each``: every session and query must have 99 % in time, as this cluster promises; otherwise
    all requests together, as the paper counts.
    """

    seconds: float = 20.0
    seed: int = 1
    warmup_us: int = 5 * US_PER_S
    each: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scenario, and what the paper says of it: goodput by policy, in any unit."""

    name: str
    scenario: Scenario
    paper: Mapping[str, float] = field(default_factory=dict)


Find: TypeAlias = Callable[[Case, str, ExperimentSettings], SimulationReport | None]
"""The run at the highest rate that a policy keeps in a case; None: there is none."""


def compare(
    experiment: str,
    cases: Sequence[Case],
    policies: Sequence[str],
    settings: ExperimentSettings,
    *,
    against: str,
    find: Find | None = None,
) -> list[Row]:
    """A row for every case and policy; ``policies`` are baselines or the cluster's own.

    ``find`` is for experiments with policies of their own: instead of ``highest``. A policy that
    cannot keep its promise at any rate has a goodput of 0.
    """
    find = find or highest
    rows = []
    for case in cases:
        reports = {name: find(case, name, settings) for name in dict.fromkeys((against, *policies))}
        reference = _goodput(reports[against])
        rows += [
            Row(
                experiment=experiment,
                case=case.name,
                policy=name,
                goodput=_goodput(reports[name]),
                against=against,
                ratio=_goodput(reports[name]) / reference if reference else 0.0,
                paper=_paper_ratio(case, name, against),
                share=_share(reports[name]),
            )
            for name in policies
        ]
    return rows


def highest(case: Case, policy: str, settings: ExperimentSettings) -> SimulationReport | None:
    """The run at the highest rate at which every session has 99 % in time; None: there is none."""
    return highest_of(case.scenario, runner(case, policy, settings), settings)


def highest_of(
    scenario: Scenario, simulate: Simulate, settings: ExperimentSettings
) -> SimulationReport | None:
    """The same of any way to run a scenario."""
    timed = replace(scenario, duration_us=round(settings.seconds * US_PER_S))
    judge = worst if settings.each else overall
    try:
        return search_rate(timed, simulate, good=judge, fine=FINE).report
    except InfeasibleError:
        return None


def runner(case: Case, policy: str, settings: ExperimentSettings) -> Simulate:
    """A function that runs the case's scenario, at any rates, under one policy."""
    if policy not in BASELINES:
        return lambda scenario: simulate_policy(scenario, policy, _simulation(settings))
    arrangement = arrange_baseline(case.scenario, policy)
    return arranged_runner(arrangement, policy, settings)


def arranged_runner(
    arrangement: Arrangement, policy: str, settings: ExperimentSettings
) -> Simulate:
    """A function that runs what the arrangement is for, at any rates; ``policy`` names it."""
    return lambda scenario: run_arrangement(arrangement, scenario, policy, _simulation(settings))


def _simulation(settings: ExperimentSettings) -> SimulationSettings:
    return SimulationSettings(
        seed=settings.seed,
        warmup_us=settings.warmup_us,
        good_min=GOOD_FRACTION_MIN if settings.each else 0.0,
    )


def _goodput(report: SimulationReport | None) -> float:
    return report.goodput if report is not None else 0.0


def _share(report: SimulationReport | None) -> float:
    if report is None:
        return 0.0
    return sum(report.lower_bound.values()) / len(report.devices)


def _paper_ratio(case: Case, policy: str, against: str) -> float | None:
    if policy not in case.paper or against not in case.paper:
        return None
    return case.paper[policy] / case.paper[against]
