"""What each idea pays: the default without it, on loads that it was made for and on others."""

import math
from collections.abc import Mapping
from dataclasses import replace

from benchmarks.evaluation.cases import LIMIT_MODELS, at_limit, random_mix
from benchmarks.evaluation.experiments.load_changes import BEFORE_S, bad_after, stepping
from benchmarks.evaluation.experiments.overload import mix
from benchmarks.evaluation.experiments.tenants import tenants
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import Case
from benchmarks.evaluation.section import Picture, Section, Table
from benchmarks.evaluation.wording import (
    DEFAULT,
    divided,
    factor_of,
    percent,
    ratio,
    search_words,
)
from nexus.drawing.axis import Axis
from nexus.drawing.bar_chart import Bar, BarChart
from nexus.drawing.frame import Mark
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.settings import POLICIES

WITHOUT = f"{DEFAULT}-without-"
STEP_AFTER_S = 30
ABOUT = (
    "The default less one idea at a time: capacity relative to the whole, and the bad share "
    f"in the {STEP_AFTER_S} s after a step of +50 %, where reacting fast is what counts."
)
SEEN = "An idea whose absence costs nothing anywhere would not have been kept."


def ablation(lab: Lab) -> Section:
    """Capacity relative to the whole, and bad requests after a load step, without each idea."""
    policies = [DEFAULT, *(name for name in POLICIES if name.startswith(WITHOUT))]
    loads = _loads() if lab.effort.thorough else dict(list(_loads().items())[:2])
    cases = [Case(scenario=s, policy=p) for p in policies for s in loads.values()]
    found = iter(lab.capacities(cases))
    factors = {policy: {load: factor_of(next(found)) for load in loads} for policy in policies}
    step = replace(stepping(1.5, STEP_AFTER_S), seed=1)
    steps = lab.runs([Case(scenario=step, policy=policy) for policy in policies])
    bad = {p: bad_after(run, BEFORE_S) for p, run in zip(policies, steps, strict=True)}
    relative = {
        policy: {load: divided(factors[policy][load], factors[DEFAULT][load]) for load in loads}
        for policy in policies
    }
    return Section(
        name="ablation",
        title="What each idea pays",
        about=ABOUT,
        seen=(SEEN,),
        run=search_words(lab.effort),
        tables=(_table(relative, bad),),
        pictures=(_picture(relative),),
    )


def _loads() -> dict[str, Scenario]:
    return {
        "one session, 8 devices": at_limit(LIMIT_MODELS[0], 8, frontends=4),
        "four sessions, 8 devices": mix(),
        "one model, five SLOs": tenants(),
        "random mix": random_mix(3),
    }


Relative = Mapping[str, Mapping[str, float]]


def _table(relative: Relative, bad: Mapping[str, float]) -> Table:
    loads = tuple(relative[DEFAULT])
    rows = tuple(
        (
            policy.removeprefix(f"{DEFAULT}-"),
            *(ratio(relative[policy][load]) for load in loads),
            percent(bad[policy]),
        )
        for policy in relative
    )
    return Table(("policy", *loads, "bad after +50 %"), rows)


def _picture(relative: Relative) -> Picture:
    means = {
        policy.removeprefix(f"{DEFAULT}-"): _mean(list(values.values()))
        for policy, values in relative.items()
    }
    return Picture(
        name="ablation",
        words="Capacity without each idea, relative to the default",
        bars=BarChart(
            title="Capacity without each idea",
            subtitle="relative to the default, geometric mean of the loads in the table",
            axis=Axis(title="times the capacity of the default"),
            bars=tuple(
                Bar(name, value, ratio(value), accent=name == DEFAULT)
                for name, value in means.items()
                if math.isfinite(value)
            ),
            levels=(Mark(1.0, "the whole"),),
        ),
    )


def _mean(values: list[float]) -> float:
    if not all(value > 0 and math.isfinite(value) for value in values):
        return math.nan
    return math.exp(sum(map(math.log, values)) / len(values))
