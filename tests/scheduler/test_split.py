"""The SLO split: exact on every small DAG, never beyond the SLO, steady under noise."""

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nexus.core.profile import linear_profile
from nexus.core.query import Query, Stage
from nexus.scheduler.milestones import conditioned_events
from nexus.scheduler.settings import SplitSettings, StageCost
from nexus.scheduler.split import even_split, event_arcs, split_query, within_slo
from nexus.scheduler.stage_cost import INFINITE, StageOption, cost_curve
from tests.scheduler.planning_cases import V100_MS, cheapest_split, small_queries

SEGMENTS = 6


def options_of(query: Query, rng: random.Random) -> dict[str, list[StageOption]]:
    options = {}
    for stage in query.stages:
        alpha_ms, beta_ms = rng.choice(V100_MS)
        profile = linear_profile(stage.model, "gpu", alpha_ms * 4000, beta_ms * 4000, 32)
        options[stage.name] = [StageOption(profile=profile, batch_cap=32)]
    return options


@settings(max_examples=100)
@given(
    query=small_queries(),
    seed=st.integers(0, 10_000),
    cost=st.sampled_from([StageCost.SATURATED, StageCost.GATHERED]),
)
def test_split_equals_brute_force_on_small_dags(query: Query, seed: int, cost: StageCost) -> None:
    rng = random.Random(seed)
    options = options_of(query, rng)
    rates = {stage.name: rng.uniform(0.5, 200) for stage in query.stages}
    split_settings = SplitSettings(segments=SEGMENTS, cost=cost)
    curves = {
        name: cost_curve(
            options[name],
            rates[name],
            epsilon_us=query.slo_us // SEGMENTS,
            segments=SEGMENTS,
            cost=cost,
        )
        for name in rates
    }
    best = cheapest_split(query, curves, SEGMENTS)
    split = split_query(query, rates, options, split_settings)
    if best == INFINITE:
        assert "needs" in split.reason
        return
    assert split.cost == pytest.approx(best)
    assert within_slo(query, split.budgets_us)


@given(query=small_queries(stages_max=9), seed=st.integers(0, 100))
def test_split_of_any_dag_stays_within_the_slo(query: Query, seed: int) -> None:
    rng = random.Random(seed)
    rates = {stage.name: rng.uniform(0.5, 200) for stage in query.stages}
    split = split_query(query, rates, options_of(query, rng), SplitSettings(segments=12))
    assume(not split.reason)
    assert within_slo(query, split.budgets_us)
    assert all(budget > 0 for budget in split.budgets_us.values())


@given(query=small_queries(stages_max=9))
def test_even_split_stays_within_the_slo(query: Query) -> None:
    assert within_slo(query, even_split(query))


def query_of(edges: str, slo_us: int = 400_000) -> Query:
    """``"a b<a c<a,b"``: stages and what they wait for."""
    stages = []
    for word in edges.split():
        name, _, after = word.partition("<")
        parents = tuple(after.split(",")) if after else ()
        stages.append(Stage(name=name, model=name, after=parents))
    return Query(name="q", slo_us=slo_us, stages=tuple(stages))


@pytest.mark.parametrize(
    ("edges", "conditioned"),
    [
        ("a", 0),
        ("a b", 0),
        ("a b<a c<a d<c", 0),
        ("a b<a c<a d<b,c", 0),
        ("a b c<a,b d<a,b", 0),
        ("a b c<a d<a,b", 1),
    ],
)
def test_split_conditions_only_on_entangled_dags(edges: str, conditioned: int) -> None:
    assert conditioned_events(event_arcs(query_of(edges))) == conditioned


def test_split_gives_both_branches_of_a_fork_the_same_budget() -> None:
    query = query_of("a b<a c<a d<b,c")
    split = split_query(
        query,
        dict.fromkeys("abcd", 100.0),
        options_of(query, random.Random(1)),
        SplitSettings(),
    )
    assert split.budgets_us["b"] == split.budgets_us["c"]


PIPELINE = query_of("a b<a")
PIPELINE_OPTIONS = {
    name: [StageOption(profile=linear_profile(name, "gpu", 1_000, 20_000, 64), batch_cap=64)]
    for name in "ab"
}


def test_split_keeps_the_old_budgets_unless_the_gain_is_clear() -> None:
    rates = {"a": 500.0, "b": 500.0}
    old = {"a": 180_000, "b": 220_000}
    kept = split_query(PIPELINE, rates, PIPELINE_OPTIONS, SplitSettings(), old)
    assert kept.budgets_us == old
    eager = split_query(PIPELINE, rates, PIPELINE_OPTIONS, SplitSettings(saving_min=0.0), old)
    assert eager.cost <= kept.cost


def test_split_moves_when_the_load_does() -> None:
    old = {"a": 340_000, "b": 60_000}
    rates = {"a": 50.0, "b": 1_000.0}
    split = split_query(PIPELINE, rates, PIPELINE_OPTIONS, SplitSettings(), old)
    assert split.budgets_us["b"] > 150_000


def test_split_names_the_path_that_is_too_long() -> None:
    query = query_of("a b<a", slo_us=60_000)
    split = split_query(query, {"a": 10.0, "b": 10.0}, PIPELINE_OPTIONS, SplitSettings())
    assert split.reason == "a -> b needs at least 84 ms, the SLO is 60 ms"


def test_split_says_when_only_the_even_split_fails() -> None:
    query = query_of("a b<a", slo_us=100_000)
    slow = StageOption(profile=linear_profile("b", "gpu", 1_000, 25_000, 64), batch_cap=64)
    quick = StageOption(profile=linear_profile("a", "gpu", 1_000, 4_000, 64), batch_cap=64)
    options, rates = {"a": [quick], "b": [slow]}, {"a": 10.0, "b": 10.0}
    even = split_query(query, rates, options, SplitSettings(even=True))
    assert even.reason == "the even split leaves a stage less than it needs"
    assert not split_query(query, rates, options, SplitSettings()).reason


def test_split_names_the_stage_that_cannot_run_at_all() -> None:
    query = query_of("a b<a", slo_us=30_000)
    split = split_query(query, {"a": 10.0, "b": 10.0}, PIPELINE_OPTIONS, SplitSettings())
    assert split.reason == "stage a alone needs more than the SLO of 30 ms"


def test_split_leaves_a_rare_stage_time_to_gather() -> None:
    """At 20/s a batch of 16 takes 800 ms to gather: the paper's cost believes in it, ours not."""
    rates = {"a": 20.0, "b": 400.0}
    paper = split_query(PIPELINE, rates, PIPELINE_OPTIONS, SplitSettings(cost=StageCost.SATURATED))
    ours = split_query(PIPELINE, rates, PIPELINE_OPTIONS, SplitSettings(cost=StageCost.GATHERED))
    assert ours.cost > paper.cost
