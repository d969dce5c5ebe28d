"""The paper's experiments with the published profiles: ratios beside the published ones."""

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.evaluation.experiments.query_analysis_table import (
    QUERY_ANALYSIS,
    query_analysis_promise,
    query_analysis_table,
    query_analysis_words,
)
from benchmarks.evaluation.lab import Answer, Lab
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import DEFAULT, NOTHING, PAPER, at_least, least, ratio
from nexus.core.units import US_PER_S
from nexus.drawing.axis import Axis
from nexus.drawing.bar_chart import Bar, BarChart
from nexus.drawing.frame import Mark
from nexus.simulator.experiments import (
    game,
    one_device,
    query_analysis,
    sixteen_sessions,
    traffic,
)
from nexus.simulator.experiments.comparison import FINE, ExperimentSettings, Row

SECONDS, SECONDS_QUICK = 10.0, 4.0
WARM_UP_US = US_PER_S
SEED = 1
Rows = Callable[[ExperimentSettings], list[Row]]

EXPERIMENTS: dict[str, Rows] = {
    "game": partial(game.game_rows, policies=(*game.POLICIES, DEFAULT)),
    "traffic": partial(traffic.traffic_rows, policies=(*traffic.POLICIES, DEFAULT)),
    "sixteen sessions": partial(
        sixteen_sessions.sixteen_sessions_rows, policies=(*sixteen_sessions.POLICIES, DEFAULT)
    ),
    QUERY_ANALYSIS: partial(
        query_analysis.query_analysis_rows,
        policies=(*query_analysis.POLICIES, query_analysis.BEST_SPLIT, DEFAULT),
    ),
    "prefix batching": partial(
        one_device.prefix_rows, policies=(*one_device.PREFIX_POLICIES, DEFAULT)
    ),
    "multiplexing": one_device.multiplexing_rows,
}
QUICK = ("multiplexing",)

SQUISHY_MIN, SQUISHY_MIXED_MIN = 1.5, 1.1

WHY = (
    "Where ratios differ from the paper's there are three reasons. The paper's profiles are not "
    "published model by model: what runs here are published profiles of comparable models. Its "
    "baselines were real systems with overheads of their own (containers, RPC, framework memory), "
    "here they are their scheduling policies alone, so they do better. And rates are those with "
    "99 % in time for every session, not for all together."
)
ABOUT = (
    "Each as a scenario with published profiles. Ratios are to the policy named, within one "
    "experiment; absolute rates belong to other devices than the paper's and are not "
    "compared."
)


def paper(lab: Lab) -> Section:
    """Every experiment, its rows beside the paper's."""
    names = tuple(EXPERIMENTS) if lab.effort.thorough else QUICK
    seconds = SECONDS if lab.effort.thorough else SECONDS_QUICK
    settings = ExperimentSettings(seconds=seconds, seed=SEED, warmup_us=WARM_UP_US)
    answers = lab.calls({name: partial(EXPERIMENTS[name], settings) for name in names})
    rows = [row for answer in answers.values() for row in answer.value or ()]
    return Section(
        name="paper",
        title="The paper's experiments",
        about=ABOUT,
        seen=tuple(filter(None, (WHY, query_analysis_words(rows)))),
        run=f"{seconds:g} s a run, seed {SEED}; capacities by bisection to {100 * (FINE - 1):g} %",
        promises=_promises(rows),
        tables=tuple(_table(name, answer) for name, answer in answers.items()),
        pictures=(_picture(rows),),
        failure="; ".join(f"{name}: {a.error}" for name, a in answers.items() if a.error),
    )


def _table(name: str, answer: Answer[list[Row]]) -> Table:
    if name == QUERY_ANALYSIS:
        return query_analysis_table(answer.value or ())
    rows = tuple(
        (
            row.case,
            row.policy,
            f"{row.goodput:,.0f}/s",
            f"{ratio(row.ratio)} of {row.against}",
            ratio(row.paper) if row.paper is not None else NOTHING,
        )
        for row in answer.value or ()
    )
    return Table(("case", "policy", "capacity", "ratio", "paper"), rows, name)


def _promises(rows: Sequence[Row]) -> tuple[Promise, ...]:
    return (
        _squishy_promise(rows, "Zipf", "Zipf rates", SQUISHY_MIN),
        _squishy_promise(rows, "mixed", "mixed SLOs", SQUISHY_MIXED_MIN),
        query_analysis_promise(rows),
    )


def _squishy_promise(rows: Sequence[Row], case: str, of: str, target: float) -> Promise:
    """Judged by this cluster's packing and dispatch; the paper's own stands beside it."""
    ratios, paper = (
        [row.ratio for row in rows if row.case.startswith(case) and row.policy == policy]
        for policy in (DEFAULT, PAPER)
    )
    return Promise(
        what=f"squishy packing against batch-oblivious, {of}",
        target=f">= {ratio(target)}",
        measured=f"{_span(ratios)} ({PAPER} {_span(paper)})",
        kept=at_least(least(ratios), target),
        paper=True,
    )


def _span(ratios: Sequence[float]) -> str:
    return f"{ratio(min(ratios))} to {ratio(max(ratios))}" if ratios else NOTHING


def _picture(rows: Sequence[Row]) -> Picture:
    """Every published ratio: ours as a share of it."""
    told = [(row, row.paper) for row in rows if row.paper and row.policy != row.against]
    bars = tuple(
        Bar(
            f"{row.policy}: {row.case}",
            row.ratio / published,
            f"{ratio(row.ratio)}, paper {ratio(published)}",
        )
        for row, published in told
    )
    return Picture(
        name="paper",
        words="Measured ratios as shares of the paper's",
        bars=BarChart(
            title="Ratios here against ratios in the paper",
            subtitle="capacity over that of the policy compared with; 1 is what the paper found",
            axis=Axis(title="ratio here / ratio in the paper"),
            bars=bars,
            levels=(Mark(1.0, "as in the paper"),),
        ),
    )
