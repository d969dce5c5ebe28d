"""The table of Figure 17: one line a point, judged at the tightest SLO."""

from benchmarks.evaluation.experiments.query_analysis_table import (
    QUERY_ANALYSIS,
    query_analysis_promise,
    query_analysis_table,
    query_analysis_words,
)
from nexus.simulator.experiments.comparison import Row
from nexus.simulator.experiments.query_analysis import BEST_SPLIT, FAN_OUTS, POLICIES, case_name

EVEN, ANALYSED = POLICIES


def point(slo_ms: float, analysed: float, best: float) -> list[Row]:
    """Every fan-out at this SLO: even 100/s, and what analysis and the best split make of it."""
    goodputs = {EVEN: 100.0, ANALYSED: analysed, BEST_SPLIT: best, "default": 140.0}
    return [
        Row(
            experiment=QUERY_ANALYSIS,
            case=case_name(fan_out, slo_ms),
            policy=policy,
            goodput=goodput,
            against=EVEN,
            ratio=goodput / 100.0,
            paper=1.25 if policy == ANALYSED else None,
        )
        for fan_out in FAN_OUTS
        for policy, goodput in goodputs.items()
    ]


def test_query_analysis_table_has_a_line_for_every_point_measured() -> None:
    table = query_analysis_table(point(300.0, 120.0, 125.0) + point(500.0, 104.0, 108.0))
    assert len(table.rows) == 6
    assert dict(zip(table.headings, table.rows[0], strict=True)) == {
        "gamma": "0.1",
        "SLO, ms": "300",
        "even split": "100",
        "with analysis": "120",
        "ratio": "1.20x",
        "paper": "1.25x",
        "best of all splits": "125",
        "its ratio": "1.25x",
        "default": "140",
        "default / even": "1.40x",
    }


def test_query_analysis_promise_is_judged_at_the_tightest_slo() -> None:
    loose = point(500.0, 104.0, 108.0)
    assert query_analysis_promise(point(300.0, 120.0, 125.0) + loose).kept is True
    assert query_analysis_promise(point(300.0, 112.0, 125.0) + loose).kept is False
    assert query_analysis_promise(loose).kept is None


def test_query_analysis_words_say_what_the_best_split_gives_at_looser_slos() -> None:
    words = query_analysis_words(point(300.0, 120.0, 125.0) + point(500.0, 104.0, 108.0))
    assert "1.04x to 1.04x" in words
    assert "1.08x to 1.08x" in words
    assert query_analysis_words([]) == ""
