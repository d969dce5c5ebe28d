"""Never below Nexus: the default against the paper's policy on every scenario there is."""

import math
from dataclasses import replace

from benchmarks.evaluation.cases import (
    LIMIT_MODELS,
    SCENARIOS,
    at_limit,
    random_mix,
)
from benchmarks.evaluation.effort import Effort
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.measuring import Case
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import (
    DEFAULT,
    PAPER,
    at_least,
    divided,
    factor_of,
    least,
    percent,
    ratio,
    search_words,
)
from nexus.drawing.axis import Axis
from nexus.drawing.bar_chart import Bar, BarChart
from nexus.drawing.frame import Mark
from nexus.scheduler.plan_scenario import plan_scenario
from nexus.scheduler.scenario import Network, Scenario
from nexus.scheduler.scenario_file import read_scenario
from nexus.simulator.report import GOOD_FRACTION_MIN

MIXES = 10
MIXES_QUICK = 2
FILES_QUICK = ("two-resnets", "traffic")
RATIO_MIN = 1.0
ABOUT = (
    "All scenarios of `examples/scenarios`, single sessions on 1, 2 and 4 devices, and "
    f"{MIXES} mixes drawn at random. All rates of a scenario are scaled together until some "
    "session has less than 99 % in time. Devices are as many as the scenario says, or as the "
    "default's plan needs; there is no network delay and no fault, since the baseline knows "
    "neither; sessions that no device can serve are left out."
)


def scenario_set(lab: Lab) -> Section:
    """Capacities under both policies, and their ratio."""
    scenarios = _scenarios(lab.effort)
    cases = [Case(scenario=s, policy=policy) for s in scenarios for policy in (DEFAULT, PAPER)]
    found = lab.capacities(cases)
    rows, ratios, halves = [], {}, {}
    for index, scenario in enumerate(scenarios):
        mine, theirs = found[2 * index], found[2 * index + 1]
        quotient = divided(factor_of(mine), factor_of(theirs))
        ratios[scenario.name] = quotient
        halves[scenario.name] = mine.half if mine.run else math.nan
        rows.append(
            (
                scenario.name,
                str(sum(device.count or 0 for device in scenario.devices)),
                mine.error or f"{mine.goodput:,.0f}/s",
                theirs.error or f"{theirs.goodput:,.0f}/s",
                ratio(quotient),
                percent(halves[scenario.name]),
            )
        )
    worst = least(list(ratios.values()))
    return Section(
        name="scenario-set",
        title="Never below Nexus",
        about=ABOUT,
        seen=(_seen(ratios),),
        run=search_words(lab.effort),
        promises=(
            Promise(
                what=f"against the paper's Nexus, the least of {len(ratios)} scenarios",
                target=f">= {ratio(RATIO_MIN)}",
                measured=f"{ratio(worst)} ({_worst_name(ratios)})",
                kept=at_least(worst, RATIO_MIN),
            ),
            Promise(
                what="at half the capacity, where fewer devices are used: the worst session's "
                f"share in time, the least of {len(halves)} scenarios",
                target=">= 99 %",
                measured=f"{percent(least(list(halves.values())))} ({_worst_name(halves)})",
                kept=at_least(least(list(halves.values())), GOOD_FRACTION_MIN),
            ),
        ),
        tables=(Table(("scenario", "devices", DEFAULT, PAPER, "ratio", "at half"), tuple(rows)),),
        pictures=(_picture(ratios),),
    )


def _scenarios(effort: Effort) -> list[Scenario]:
    files = sorted(SCENARIOS.rglob("*.yaml"))
    if not effort.thorough:
        files = [path for path in files if path.stem in FILES_QUICK]
    models = LIMIT_MODELS if effort.thorough else LIMIT_MODELS[:1]
    scenarios = [prepared(read_scenario(path)) for path in files]
    scenarios += [at_limit(m, n) for m in models for n in ((1, 2, 4) if effort.thorough else (1,))]
    scenarios += [random_mix(n) for n in range(MIXES if effort.thorough else MIXES_QUICK)]
    return [scenario for scenario in scenarios if scenario.sessions or scenario.queries]


def prepared(scenario: Scenario) -> Scenario:
    """Fit for a search: feasible, finite, undisturbed, at rates near what its devices can do."""
    plan = plan_scenario(scenario).plan
    hopeless = {entry.session for entry in plan.infeasible}
    needed = plan.devices_needed
    counted = tuple(
        replace(device, count=needed.get(device.type, 0) if device.count is None else device.count)
        for device in scenario.devices
    )
    feasible = replace(
        scenario,
        sessions=tuple(e for e in scenario.sessions if e.session.name not in hopeless),
        devices=tuple(device for device in counted if device.count),
        network=Network(),
        faults=(),
    )
    bound = sum(plan.lower_bound.values())
    count = sum(device.count or 0 for device in feasible.devices)
    return feasible.scaled(count / bound) if bound else feasible


def _worst_name(ratios: dict[str, float]) -> str:
    known = {name: value for name, value in ratios.items() if math.isfinite(value)}
    return min(known, key=lambda name: known[name]) if known else "none"


def _seen(ratios: dict[str, float]) -> str:
    known = [value for value in ratios.values() if value > 0 and math.isfinite(value)]
    if not known:
        return ""
    mean = math.exp(sum(map(math.log, known)) / len(known))
    below = sum(value < RATIO_MIN for value in known)
    where = "nowhere" if not below else f"in {below} of {len(known)}"
    return f"The geometric mean is {ratio(mean)}; the default is below Nexus {where}."


def _picture(ratios: dict[str, float]) -> Picture:
    bars = tuple(
        Bar(name, value, ratio(value), accent=value < RATIO_MIN)
        for name, value in sorted(ratios.items(), key=lambda item: -item[1])
        if math.isfinite(value)
    )
    return Picture(
        name="scenario-set",
        words="Capacity of the default relative to the paper's Nexus, by scenario",
        bars=BarChart(
            title="Capacity relative to the paper's Nexus",
            subtitle="highest rate with 99 % of every session in time, default / nexus-paper",
            # One scenario may be far beyond the others: they shall still be told apart.
            axis=Axis(
                title="times the capacity of nexus-paper",
                low=0.5,
                high=1.3 * max((bar.value for bar in bars), default=1.0),
                log=True,
            ),
            bars=bars,
            levels=(Mark(1.0, "nexus-paper"),),
        ),
    )
