"""Beyond capacity: goodput must not collapse, and no session may starve."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.evaluation.cases import Linear, scenario
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import Case, Run
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import (
    DEFAULT,
    PAPER,
    at_least,
    divided,
    least,
    search_words,
    share,
)
from nexus.drawing.axis import Axis
from nexus.drawing.frame import Mark
from nexus.drawing.line_chart import LineChart, Series
from nexus.scheduler.scenario import Scenario

DEVICES = 8
DURATION_S = 20.0
MODELS = (
    Linear("inception3", 0.96, 11.77, 100),
    Linear("resnet101", 1.25, 13.57, 150),
    Linear("densenet121", 0.69, 19.96, 150),
    Linear("resnet152", 1.77, 18.98, 250),
)
SHARES = {"inception3": 0.4, "resnet101": 0.3, "densenet121": 0.2, "resnet152": 0.1}
"""Of the devices' time at the hard limit."""
POLICIES = (DEFAULT, PAPER, "symphony", "clockwork", "shepherd", "clipper")
FACTORS = (0.5, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
FACTORS_QUICK = (0.8, 1.0, 2.0, 3.0)
TWICE = 2.0
GOODPUT_MIN = 0.95
STARVED = 0.5
"""A session that keeps less than this share of its good rate at capacity is called starved."""
ABOUT = (
    f"Four sessions on {DEVICES} devices. Declared is each policy's own capacity; offered is "
    "a multiple of it, for all sessions alike."
)
SEEN = (
    "Goodput that stays level beyond 1 means that what is refused is refused early, and "
    "nothing is executed in vain; the worst session shows whether it is at the expense of "
    "one."
)


def mix(*, frontends: int = 4) -> Scenario:
    """Four sessions that fill eight devices at their hard limits."""
    rates = {model.name: DEVICES * SHARES[model.name] * model.limit for model in MODELS}
    return scenario(
        "mix-of-four", MODELS, rates, DEVICES, frontends=frontends, duration_s=DURATION_S
    )


def offered(declared: Scenario, factor: float) -> Scenario:
    """``factor`` times the requests that are declared: the plan learns of it as it does live."""
    entries = tuple(replace(entry, rate=entry.rate * factor) for entry in declared.sessions)
    return replace(declared, sessions=entries)


def overload(lab: Lab) -> Section:
    """Goodput at 0.5 to 3 times each policy's own capacity."""
    policies = POLICIES if lab.effort.thorough else POLICIES[:2]
    factors = FACTORS if lab.effort.thorough else FACTORS_QUICK
    found = lab.capacities([Case(scenario=mix(), policy=policy) for policy in policies])
    capacities = {p: c for p, c in zip(policies, found, strict=True) if c.factor}
    cases = [
        Case(scenario=offered(mix().scaled(capacity.factor), factor), policy=policy)
        for policy, capacity in capacities.items()
        for factor in factors
    ]
    ran = lab.runs(cases)
    runs = {
        policy: dict(zip(factors, ran[i * len(factors) :], strict=False))
        for i, policy in enumerate(capacities)
    }
    return Section(
        name="overload",
        title="Overload",
        about=ABOUT,
        seen=(SEEN,),
        run=f"{search_words(lab.effort)}; then {DURATION_S:g} s at each multiple, seed 1",
        promises=_promises(runs),
        tables=(_goodputs(runs, factors), _worst(runs, factors)),
        pictures=(_picture(runs),),
    )


Runs = Mapping[str, Mapping[float, Run]]


def kept_share(runs: Mapping[float, Run], factor: float) -> float:
    """Goodput at a multiple of capacity, as a share of that at capacity."""
    return divided(runs[factor].goodput, runs[1.0].goodput)


def worst_share(runs: Mapping[float, Run], factor: float) -> float:
    """The least share of its own good rate at capacity that a session keeps."""
    now, before = runs[factor].goods, runs[1.0].goods
    return least([divided(a * factor, b) for a, b in zip(now, before, strict=False)])


def _promises(runs: Runs) -> tuple[Promise, ...]:
    mine = runs.get(DEFAULT)
    goodput = kept_share(mine, TWICE) if mine else math.nan
    worst = worst_share(mine, TWICE) if mine else math.nan
    return (
        Promise(
            what="goodput at twice the capacity, as a share of goodput at capacity",
            target=f">= {GOODPUT_MIN}",
            measured=share(goodput),
            kept=at_least(goodput, GOODPUT_MIN),
        ),
        Promise(
            what="no session starves at twice the capacity: what the worst keeps of its good rate",
            target=f">= {STARVED}",
            measured=share(worst),
            kept=at_least(worst, STARVED),
        ),
    )


def _goodputs(runs: Runs, factors: Sequence[float]) -> Table:
    rows = tuple(
        (policy, *(f"{by[f].goodput:,.0f}" for f in factors), share(kept_share(by, TWICE)))
        for policy, by in runs.items()
    )
    headings = ("policy", *(f"{f:g}x" for f in factors), "2x / 1x")
    return Table(headings, rows, "Goodput, requests/s, by load")


def _worst(runs: Runs, factors: Sequence[float]) -> Table:
    rows = tuple(
        (policy, *(share(worst_share(by, f)) for f in factors)) for policy, by in runs.items()
    )
    headings = ("policy", *(f"{f:g}x" for f in factors))
    return Table(headings, rows, "What the worst session keeps of its good rate at capacity")


def _picture(runs: Runs) -> Picture:
    return Picture(
        name="overload",
        words="Goodput by offered load, by policy",
        lines=LineChart(
            title="Goodput beyond capacity",
            subtitle=f"four sessions on {DEVICES} devices; 1 is each policy's own capacity",
            x=Axis(title="offered load", unit="times the capacity"),
            y=Axis(title="goodput", unit="requests/s"),
            series=tuple(
                Series(policy, tuple(by), tuple(run.goodput for run in by.values()))
                for policy, by in runs.items()
            ),
            moments=(Mark(1.0, "capacity"),),
        ),
    )
