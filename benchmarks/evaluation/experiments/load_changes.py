"""Changes: the load steps up, a device dies. How many requests go bad, and for how long?"""

import math
from dataclasses import replace
from functools import partial

from benchmarks.evaluation.experiments.overload import mix
from benchmarks.evaluation.lab import Answer, Lab
from benchmarks.evaluation.measuring import Case, Run
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import (
    DEFAULT,
    PAPER,
    at_most,
    divided,
    largest,
    percent,
    seconds,
)
from nexus.core.units import US_PER_S, us_from_s
from nexus.drawing.axis import Axis
from nexus.drawing.frame import Mark
from nexus.drawing.line_chart import LineChart, Series
from nexus.scheduler.scenario import Arrivals, Fault, FaultKind, NodeKind, NodeReference, Scenario
from nexus.simulator.experiments.comparison import ExperimentSettings
from nexus.simulator.experiments.rate_step import StepRow, rate_step_row

BEFORE_S, AFTER_S = 30, 60
USED = 0.45
"""The share of the hard limit that is offered before the step: there are devices to take."""
LOAD_STEP = 1.5
STEP_BAD_MAX = 0.01
DEATH_S = 10
DEATH_AFTER_S = 20
BAD_MAX = 0.01
RECOVERY_S_MAX = 2
PAPER_STEP_S, PAPER_S = 326.0, 1000.0
PAPER_STEP_QUICK_S, PAPER_QUICK_S = 20.0, 60.0
PAPER_BAD_MAX = 0.003
DETECTION_S_MAX = 12.0
SEEDS, SEEDS_QUICK = (1, 2, 3), (1,)
ABOUT = (
    f"Four sessions on 8 devices. After {BEFORE_S} s every rate steps up by half, or after "
    f"{DEATH_S} s a device dies as by kill -9; epochs are 30 s. The paper's policy is told "
    "the rate before the step and never plans again, since no baseline has a control plane."
)
SEEN = (
    "A step shows in the seconds until the routing table follows; a death costs what was on "
    "the device and could not be repeated in time."
)


def load_changes(lab: Lab) -> Section:
    """Bad requests by the second, after each change."""
    thorough = lab.effort.thorough
    seeds = SEEDS if thorough else SEEDS_QUICK
    stepped, killed = stepping(LOAD_STEP, AFTER_S), dying()
    scenarios = [replace(s, seed=seed) for s in (stepped, killed) for seed in seeds]
    runs = lab.runs([Case(scenario=scenario, policy=DEFAULT) for scenario in scenarios])
    steps, deaths = runs[: len(seeds)], runs[len(seeds) :]
    (reference,) = lab.runs([Case(scenario=stepped, policy=PAPER)])
    paper_step = published_step(lab, thorough=thorough)
    return Section(
        name="load-changes",
        title="When the load or the cluster changes",
        about=ABOUT,
        seen=(SEEN,),
        run=f"seeds {', '.join(map(str, seeds))}; the step of 20 % for "
        f"{PAPER_S if thorough else PAPER_QUICK_S:g} s at seed 1",
        promises=_promises(steps, deaths, paper_step),
        tables=(_table(steps, deaths, reference),),
        pictures=(
            _picture(
                "load-step", f"Load step of {LOAD_STEP - 1:.0%}", steps[0], BEFORE_S, reference
            ),
            _picture("dead-device", "A device dies", deaths[0], DEATH_S, None),
        ),
    )


def published_step(lab: Lab, *, thorough: bool) -> Answer[StepRow]:
    """The paper's step of +20 %, eight sessions, 30-s epochs, under the whole cluster."""
    step_s, seconds_ = (PAPER_STEP_S, PAPER_S) if thorough else (PAPER_STEP_QUICK_S, PAPER_QUICK_S)
    settings = ExperimentSettings(seed=1, warmup_us=US_PER_S)
    call = partial(rate_step_row, settings, step_s=step_s, seconds=seconds_)
    return lab.calls({"rate step": call})["rate step"]


def stepping(factor: float, after_s: int) -> Scenario:
    """All rates times ``factor`` after ``BEFORE_S``."""
    calm = mix().scaled(USED)
    arrivals = Arrivals(kind="step", parameters={"at_s": BEFORE_S + 0.5, "factor": factor})
    return replace(
        calm,
        name=f"step-{factor:g}",
        sessions=tuple(replace(entry, arrivals=arrivals) for entry in calm.sessions),
        duration_us=(BEFORE_S + after_s) * US_PER_S,
    )


def dying() -> Scenario:
    """A device that serves dies after ``DEATH_S`` (and the half second that is not counted)."""
    fault = Fault(
        at_us=us_from_s(DEATH_S + 0.5),
        kind=FaultKind.KILL,
        nodes=(NodeReference(NodeKind.BACKEND, 0),),
    )
    calm = mix().scaled(USED)
    duration_us = (DEATH_S + DEATH_AFTER_S) * US_PER_S
    return replace(calm, name="dead-device", faults=(fault,), duration_us=duration_us)


def bad_after(run: Run, second: int) -> float:
    """The share of the requests sent from ``second`` on that went bad."""
    offered = sum(run.offered_by_second[second:])
    return divided(offered - sum(run.good_by_second[second:]), offered)


def recovery_s(run: Run, second: int) -> float:
    """How many seconds after ``second`` the last one with over 1 % bad ended; 0 if none."""
    if not run.offered_by_second:
        return math.nan
    bad = [at for at, share in enumerate(bad_by_second(run)) if at >= second and share > BAD_MAX]
    return max(bad, default=second - 1) + 1 - second


def bad_by_second(run: Run) -> list[float]:
    """The share that went bad of the requests sent in each second."""
    return [
        (offered - good) / offered if offered else 0.0
        for offered, good in zip(run.offered_by_second, run.good_by_second, strict=True)
    ]


def _promises(steps: list[Run], deaths: list[Run], paper: Answer[StepRow]) -> tuple[Promise, ...]:
    bad = largest([bad_after(run, BEFORE_S) for run in steps])
    recovered = largest([recovery_s(run, DEATH_S) for run in deaths])
    row = paper.value
    long_bad = row.bad_fraction if row else math.nan
    detection_s = row.detection_s if row and row.detection_s >= 0 else math.nan
    return (
        Promise(
            what=f"load step of +50 %: bad over the next {AFTER_S} s, the worst seed",
            target="< 1 %",
            measured=percent(bad),
            kept=at_most(bad, STEP_BAD_MAX),
        ),
        Promise(
            what="dead device: seconds until under 1 % bad again, the worst seed",
            target=f"<= {RECOVERY_S_MAX} s",
            measured=seconds(recovered),
            kept=at_most(recovered, RECOVERY_S_MAX),
        ),
        Promise(
            what="load step of +20 %, Poisson, 30-s epochs: bad over the whole run",
            target="< 0.3 %",
            measured=percent(long_bad) if not paper.error else paper.error,
            kept=at_most(long_bad, PAPER_BAD_MAX),
            paper=True,
        ),
        Promise(
            what="load step of +20 %: until there are more devices",
            target=f"<= {DETECTION_S_MAX:g} s",
            measured=seconds(detection_s) if not paper.error else paper.error,
            kept=at_most(detection_s, DETECTION_S_MAX),
            paper=True,
        ),
    )


def _table(steps: list[Run], deaths: list[Run], reference: Run) -> Table:
    rows = [
        *(_row(f"+50 %, {DEFAULT}, run {i}", r, BEFORE_S) for i, r in enumerate(steps, 1)),
        _row(f"+50 %, {PAPER}, no new plan", reference, BEFORE_S),
        *(_row(f"dead device, {DEFAULT}, run {i}", r, DEATH_S) for i, r in enumerate(deaths, 1)),
    ]
    return Table(("change", "bad before", "bad after", "last second over 1 % bad"), tuple(rows))


def _row(name: str, run: Run, second: int) -> tuple[str, ...]:
    if run.error:
        return name, run.error, "", ""
    before = sum(run.offered_by_second[:second])
    bad = divided(before - sum(run.good_by_second[:second]), before)
    after = recovery_s(run, second)
    ended = f"{after:g} s after" if after else "none"
    return name, percent(bad), percent(bad_after(run, second)), ended


def _picture(name: str, title: str, run: Run, second: int, reference: Run | None) -> Picture:
    shown = {DEFAULT: run} | ({PAPER: reference} if reference is not None else {})
    return Picture(
        name=name,
        words=f"{title}: share of bad requests by the second",
        lines=LineChart(
            title=title,
            subtitle="requests not answered in time, by the second in which they were sent",
            x=Axis(title="time", unit="s", high=float(len(run.offered_by_second) or 1)),
            y=Axis(title="bad", unit="%"),
            series=tuple(
                Series(
                    policy,
                    tuple(float(at) for at in range(len(of.offered_by_second))),
                    tuple(100 * bad for bad in bad_by_second(of)),
                )
                for policy, of in shown.items()
            ),
            moments=(Mark(second, title.lower()),),
            levels=(Mark(100 * BAD_MAX, "1 %"),),
        ),
    )
