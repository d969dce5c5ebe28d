"""The paper's worked examples: packing, splits, optimality of the packing, early and lazy drop.

The same functions as in the tests of the paper's claims, here with their figures.
"""

import math

from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.planning import optimality
from nexus.core.units import ms_from_us
from nexus.drawing.axis import Axis
from nexus.drawing.line_chart import LineChart, Series
from nexus.scheduler.packing import pack_residues
from nexus.scheduler.split import split_query
from nexus.scheduler.stage_rates import stage_rates
from tests.scheduler import test_paper_packing as packing
from tests.scheduler import test_paper_split as splits
from tests.test_paper_early_drop import (
    LAZY_SIMULATED,
    PAPER_EARLY,
    TOLERANCE,
    early,
    highest_rate,
    lazy,
    table_of,
)

PROBLEMS, PROBLEMS_QUICK = 150, 20
RESIDUES = 9
"""Of ``optimality``."""
EXCESS_MAX, OPTIMAL_MIN = 0.02, 0.90
BEST_SPLITS = {0.1: ((60, 40), 272.7), 1: ((50, 50), 153.8), 10: ((40, 60), 40.0)}
"""Fan-out: the best split of 100 ms and its throughput (figures 3 and 4)."""
ABOUT = "What needs no cluster: decisions of the planner, and of one device's queue."
SEEN = (
    "Dropping early, before a batch is begun that the rest cannot follow, keeps more than "
    "dropping what is already lost; the more so the more a batch saves (small alpha)."
)


def acceptance(lab: Lab) -> Section:
    """All four, with a plot of the drop policies."""
    thorough = lab.effort.thorough
    problems = PROBLEMS if thorough else PROBLEMS_QUICK
    excess, optimal = optimality(problems, search=False, divide=False)
    alphas = tuple(PAPER_EARLY) if thorough else (1.0, 1.8)
    curves = {
        alpha: (highest_rate(early, table_of(alpha)), highest_rate(lazy, table_of(alpha)))
        for alpha in alphas
    }
    return Section(
        name="acceptance",
        title="The paper's worked examples",
        about=ABOUT,
        seen=(SEEN,),
        run=f"packing against an exact solver on {problems} random "
        f"sets of {RESIDUES} sessions; drop policies on 12,000 Poisson arrivals each",
        promises=(_packing(), _splits(), *_optimality(excess, optimal), *_drops(curves)),
        tables=(_table(curves),),
        pictures=(_picture(curves),),
    )


def _packing() -> Promise:
    residues = [
        packing.table_2_demand(model, rate, slo_ms)
        for model, rate, slo_ms in (("A", 64, 200), ("B", 32, 250), ("C", 32, 250))
    ]
    nodes = pack_residues(residues, packing.DEVICE, search=False)
    packed = [
        {d.session.model: b for d, b in zip(n.demands, n.batches, strict=True)} for n in nodes
    ]
    sets = ", ".join("{" + " ".join(f"{m}{b}" for m, b in node.items()) + "}" for node in packed)
    first = nodes[0]
    cycle_ms = ms_from_us(first.duty_cycle_us)
    kept = packed == [{"A": 8, "B": 4}, {"C": 4}] and (cycle_ms, first.occupancy) == (125, 1)
    return Promise(
        what="packing of table 2",
        target="{A8 B4}, {C4}; duty cycle 125 ms, occupancy 1",
        measured=f"{sets}; duty cycle {cycle_ms:g} ms, occupancy {first.occupancy:g}",
        kept=kept,
        paper=True,
    )


def _splits() -> Promise:
    measured, kept = [], True
    for fan_out, (best_ms, throughput) in BEST_SPLITS.items():
        rates = stage_rates(splits.QUERY, 1000.0, {"y": fan_out})
        split = split_query(splits.QUERY, rates, splits.OPTIONS, splits.PLAIN)
        found_ms = tuple(split.budgets_us[stage] // 2000 for stage in ("x", "y"))
        rate = 1000.0 / split.cost
        measured.append(f"({found_ms[0]}, {found_ms[1]}) {rate:.1f}")
        kept = kept and found_ms == best_ms and math.isclose(rate, throughput, abs_tol=0.05)
    return Promise(
        what="best split of figures 3 and 4 at fan-out 0.1, 1, 10, and its throughput",
        target="(60, 40) 272.7; (50, 50) 153.8; (40, 60) 40.0",
        measured="; ".join(measured),
        kept=kept,
        paper=True,
    )


def _optimality(excess: float, optimal: float) -> tuple[Promise, ...]:
    return (
        Promise(
            what="greedy packing against the exact optimum: devices",
            target="<= 2 % more",
            measured=f"{100 * excess:+.2f} %",
            kept=excess <= EXCESS_MAX,
            paper=True,
        ),
        Promise(
            what="greedy packing finds the optimum",
            target=">= 90 % of cases",
            measured=f"{optimal:.0%}",
            kept=optimal >= OPTIMAL_MIN,
            paper=True,
        ),
    )


Curves = dict[float, tuple[float, float]]
"""Alpha in ms: highest rate with early and with lazy drop."""


def _drops(curves: Curves) -> tuple[Promise, ...]:
    early_off = [rate / PAPER_EARLY[alpha] - 1 for alpha, (rate, _) in curves.items()]
    lazy_off = [
        rate / LAZY_SIMULATED[alpha] - 1
        for alpha, (_, rate) in curves.items()
        if alpha in LAZY_SIMULATED
    ]
    return (
        Promise(
            what="early drop against figure 9 (never worse; better is welcome)",
            target=">= -3 %",
            measured=f"{100 * min(early_off):+.1f} to {100 * max(early_off):+.1f} %",
            kept=min(early_off) >= -TOLERANCE,
            paper=True,
        ),
        Promise(
            what="lazy drop against an independent simulation",
            target="within 3 %",
            measured=f"{100 * min(lazy_off):+.1f} to {100 * max(lazy_off):+.1f} %",
            kept=max(map(abs, lazy_off)) <= TOLERANCE,
            paper=True,
        ),
    )


def _table(curves: Curves) -> Table:
    rows = tuple(
        (f"{alpha:g}", str(PAPER_EARLY[alpha]), f"{mine:.0f}", f"{theirs:.0f}")
        for alpha, (mine, theirs) in curves.items()
    )
    headings = ("alpha, ms", "early drop, paper", "early drop, here", "lazy drop, here")
    return Table(headings, rows, "Highest rate with 1 % bad, items/s, one device, SLO 100 ms")


def _picture(curves: Curves) -> Picture:
    alphas = tuple(curves)
    lines = {
        "early, here": tuple(rate for rate, _ in curves.values()),
        "early, paper": tuple(float(PAPER_EARLY[alpha]) for alpha in alphas),
        "lazy, here": tuple(rate for _, rate in curves.values()),
    }
    return Picture(
        name="drop-policies",
        words="Highest rate by alpha for early and lazy drop",
        lines=LineChart(
            title="Early against lazy drop",
            subtitle="one device, l(b) = alpha b + beta with 500 items/s at batch 25, SLO 100 ms",
            x=Axis(title="alpha", unit="ms", low=None),
            y=Axis(title="highest rate", unit="items/s", low=None),
            series=tuple(Series(name, alphas, values) for name, values in lines.items()),
        ),
    )
