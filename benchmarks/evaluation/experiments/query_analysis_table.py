"""Figure 17, all nine points: what query analysis gains, and what the best of all splits would."""

from collections.abc import Mapping, Sequence

from benchmarks.evaluation.section import Promise, Table
from benchmarks.evaluation.wording import (
    DEFAULT,
    NOTHING,
    PAPER,
    at_least,
    divided,
    largest,
    least,
    ratio,
)
from nexus.simulator.experiments.comparison import Row
from nexus.simulator.experiments.query_analysis import (
    BEST_SPLIT,
    FAN_OUTS,
    POLICIES,
    SLOS_MS,
    case_name,
)

QUERY_ANALYSIS = "query analysis"
EVEN = POLICIES[0]
GAIN_MIN, PAPER_GAIN_MAX = 1.13, 1.55
"""What the paper says of its nine points together."""
JUDGED_SLO_MS = SLOS_MS[0]
"""The tightest: there the paper's gain is greatest at every fan-out."""

Point = Mapping[str, Row]
"""The rows of one case by policy."""


def query_analysis_points(rows: Sequence[Row]) -> dict[tuple[float, float], Point]:
    """(gamma, SLO in ms) to the rows of that case, where it was measured."""
    by_case: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.experiment == QUERY_ANALYSIS:
            by_case.setdefault(row.case, {})[row.policy] = row
    keys = [(fan_out, slo_ms) for fan_out in FAN_OUTS for slo_ms in SLOS_MS]
    return {key: by_case[case_name(*key)] for key in keys if case_name(*key) in by_case}


def query_analysis_table(rows: Sequence[Row]) -> Table:
    """One line a point."""
    headings = (
        "gamma",
        "SLO, ms",
        "even split",
        "with analysis",
        "ratio",
        "paper",
        "best of all splits",
        "its ratio",
        "default",
        "default / even",
    )
    cells = tuple(
        (f"{fan_out:g}", f"{slo_ms:g}", *_cells(point))
        for (fan_out, slo_ms), point in query_analysis_points(rows).items()
    )
    return Table(headings, cells, f"{QUERY_ANALYSIS}, queries/s")


def query_analysis_promise(rows: Sequence[Row]) -> Promise:
    """The gain at the tightest SLO, every fan-out."""
    gains = _gains(rows, PAPER, tight=True)
    return Promise(
        what=f"query analysis against even splits, gamma {', '.join(f'{g:g}' for g in FAN_OUTS)}, "
        f"SLO {JUDGED_SLO_MS:g} ms (paper {GAIN_MIN}-{PAPER_GAIN_MAX})",
        target=f">= {ratio(GAIN_MIN)}",
        measured=", ".join(map(ratio, gains)) if gains else NOTHING,
        kept=at_least(least(gains), GAIN_MIN),
        paper=True,
    )


def query_analysis_words(rows: Sequence[Row]) -> str:
    """Why the gain shrinks as the SLO grows; empty when there is nothing to see."""
    gains = _gains(rows, PAPER, tight=False)
    best = _gains(rows, BEST_SPLIT, tight=False)
    if not gains or not best:
        return ""
    return (
        f"Query analysis pays most at the tightest SLO, by which it is judged. At the looser ones "
        f"the even split's batches are nearly as efficient as any: there analysis gains "
        f"{ratio(least(gains))} to {ratio(largest(gains))}, and the best of all splits no more "
        f"than {ratio(least(best))} to {ratio(largest(best))}: what the paper gained beyond is "
        "not in the split. Profiles are inferred from the paper's rates without analysis "
        "(simulator/nexus/simulator/experiments/inferred_profiles.py)."
    )


def _gains(rows: Sequence[Row], policy: str, *, tight: bool) -> list[float]:
    return [
        point[policy].ratio
        for (_, slo_ms), point in query_analysis_points(rows).items()
        if policy in point and (slo_ms == JUDGED_SLO_MS) is tight
    ]


def _cells(point: Point) -> tuple[str, ...]:
    paper = point[PAPER].paper
    return (
        f"{point[EVEN].goodput:,.0f}",
        f"{point[PAPER].goodput:,.0f}",
        ratio(point[PAPER].ratio),
        ratio(paper) if paper is not None else NOTHING,
        f"{point[BEST_SPLIT].goodput:,.0f}",
        ratio(point[BEST_SPLIT].ratio),
        f"{point[DEFAULT].goodput:,.0f}",
        ratio(divided(point[DEFAULT].goodput, point[EVEN].goodput)),
    )
