"""One frame through a DAG: filters, limits, joins, failures."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.core.finding import Finding, Region
from nexus.core.query import Per, Query, Stage
from nexus.core.request import DropReason, ItemResult, Outcome, dropped
from nexus.frontend.counters import ArrivalCounters
from nexus.frontend.planned_query import PlannedQuery
from nexus.frontend.query_deadlines import StageBudgets, expected_finish_us
from nexus.frontend.query_run import QueryRun, StageStart


def finding(label: str, score: float = 0.9, x: int = 0) -> Finding:
    return Finding(label, score, Region(x, 0, 4, 4))


def query(*stages: Stage) -> Query:
    return Query(name="q", slo_us=100_000, stages=(Stage(name="root", model="m"), *stages))


def child(name: str = "child", **changes: object) -> Stage:
    fields = {"name": name, "model": "m", "after": ("root",), **changes}
    return Stage(**fields)  # type: ignore[arg-type]


def after_root(run: QueryRun, *findings: Finding) -> tuple[StageStart, ...]:
    (start,) = run.begin(0)
    assert start.calls[0].items == 1
    return run.answered("root", 0, 1, Outcome(items=(ItemResult(findings),)), 10)


def test_query_run_filters_by_label_and_score_and_keeps_the_best() -> None:
    run = QueryRun(query(child(each=("car",), min_score=0.5, fan_out_max=2)))
    (start,) = after_root(
        run,
        finding("car", 0.6, x=1),
        finding("dog", 0.9, x=2),
        finding("car", 0.4, x=3),
        finding("car", 0.8, x=4),
        finding("car", 0.7, x=5),
    )
    (call,) = start.calls
    assert [region.x for region in call.regions] == [4, 5]
    assert start.parent_calls == 1
    run.answered("child", 0, 2, Outcome(items=(ItemResult(), ItemResult())), 20)
    assert run.finished
    assert run.results({})[1].skipped_items == 1


def test_query_run_fan_out_limit_is_for_each_parent_call() -> None:
    run = QueryRun(query(child("parts"), child("leaf", after=("parts",), fan_out_max=1)))
    after_root(run, finding("a", x=1), finding("b", x=2))
    pair = ItemResult((finding("p", 0.9, x=7), finding("p", 0.8, x=8)))
    (start,) = run.answered("parts", 0, 2, Outcome(items=(pair, pair)), 20)
    assert [region.x for region in start.calls[0].regions] == [7, 7]
    assert start.parent_calls == 2


def test_query_run_nothing_found_ends_the_branch_with_no_items() -> None:
    run = QueryRun(query(child(), child("leaf", after=("child",))))
    starts = after_root(run)
    assert [(start.stage.name, start.items) for start in starts] == [("child", 0), ("leaf", 0)]
    assert run.finished
    assert run.failure is None
    assert [result.outcome.ok for result in run.results({})] == [True, True, True]


def test_query_run_finding_without_a_region_means_what_its_item_looked_at() -> None:
    run = QueryRun(query(child(), child("leaf", after=("child",))))
    (start,) = after_root(run, Finding("scene", 0.9), finding("car", 0.8, x=3))
    # The crop goes with its region; the whole frame goes by itself.
    assert [(call.first, call.items, len(call.regions)) for call in start.calls] == [
        (0, 1, 1),
        (1, 1, 0),
    ]
    run.answered("child", 1, 1, Outcome(items=(ItemResult(),)), 20)
    (leaf,) = run.answered("child", 0, 1, Outcome(items=(ItemResult((Finding("x", 1.0),)),)), 30)
    assert leaf.calls[0].regions == (Region(3, 0, 4, 4),)


def test_query_run_join_waits_for_all_parents() -> None:
    run = QueryRun(query(child("a"), child("b"), child("join", after=("a", "b"), per=Per.FRAME)))
    after_root(run, finding("car"))
    assert run.answered("a", 0, 1, Outcome(items=(ItemResult(),)), 20) == ()
    (join,) = run.answered("b", 0, 1, dropped(DropReason.LATE), 30)
    assert (join.stage.name, join.items) == ("join", 1)


def test_query_run_upstream_failure_is_passed_down_once_nothing_is_left() -> None:
    run = QueryRun(query(child(), child("leaf", after=("child",))))
    after_root(run, finding("car"), finding("car"))
    run.answered("child", 1, 1, dropped(DropReason.OVERLOADED, "full"), 20)
    (leaf,) = run.answered("child", 0, 1, dropped(DropReason.DEADLINE, "late"), 30)
    assert leaf.items == 0
    assert run.finished
    assert run.failure is None
    results = {result.stage: result for result in run.results({})}
    assert results["child"].outcome.reason is DropReason.DEADLINE
    assert results["child"].outcome.message == "item 0: late; item 1: full"
    assert results["leaf"].outcome.reason is DropReason.UPSTREAM


def test_query_run_partly_failed_stage_is_not_failed() -> None:
    run = QueryRun(query(child(), child("leaf", after=("child",))))
    after_root(run, finding("car"), finding("car"))
    run.answered("child", 1, 1, dropped(DropReason.OVERLOADED, "full"), 20)
    done = Outcome(items=(ItemResult((finding("wheel"),)),))
    (leaf,) = run.answered("child", 0, 1, done, 30)
    assert (leaf.items, leaf.parent_calls) == (1, 1)
    result = run.results({})[1]
    assert (result.outcome.ok, result.failed_items) == (True, 1)
    assert result.outcome.message == "item 1: full"


def test_query_run_wrong_number_of_results_is_an_error() -> None:
    run = QueryRun(query(child()))
    run.begin(0)
    run.answered("root", 0, 1, Outcome(items=(ItemResult(), ItemResult())), 10)
    assert run.failure is not None
    assert run.failure.reason is DropReason.ERROR
    assert "2 results for 1 items" in run.failure.message


budgets = st.integers(1, 100_000)


@given(budgets, budgets, budgets, st.integers(0, 400_000))
def test_query_deadlines_every_path_fits_and_ends_at_the_deadline(
    root_us: int, a_us: int, b_us: int, left_us: int
) -> None:
    dag = query(child("a"), child("b", after=("root", "a")))
    plan = {"root": root_us, "a": a_us, "b": b_us}
    deadlines = StageBudgets(dag, plan).deadlines_us(1_000, 1_000 + left_us)
    assert deadlines["b"] == 1_000 + left_us
    assert 1_000 <= deadlines["root"] <= deadlines["a"] <= deadlines["b"]
    if root_us + a_us + b_us <= left_us:
        assert deadlines["a"] == deadlines["b"] - b_us
        assert deadlines["root"] == deadlines["b"] - a_us - b_us


def test_query_deadlines_take_the_longest_branch() -> None:
    dag = query(child("short"), child("long"))
    plan = {"root": 1, "short": 5, "long": 9}
    assert StageBudgets(dag, plan).downstream_us == {"root": 9, "short": 0, "long": 0}
    assert expected_finish_us(dag, plan, 100) == 110


def test_counters_measure_fan_out_once_there_is_enough_to_measure() -> None:
    counters = ArrivalCounters()
    dag = PlannedQuery(query(child(fan_out=3.0), child("leaf", after=("child",), fan_out=2.0)), {})
    assert counters.expected_calls(dag) == {"root": 1.0, "child": 3.0, "leaf": 6.0}
    for _ in range(20):
        counters.stage("q/child", 1, 2)
    assert counters.expected_calls(dag) == {"root": 1.0, "child": 0.5, "leaf": 1.0}
