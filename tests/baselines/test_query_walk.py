"""A frame's way through a DAG, by counts."""

import random

from nexus.core.query import Per, Query, Stage
from nexus.core.request import DropReason
from nexus.scheduler.scenario import FanOut
from nexus.simulator.baselines.query_walk import QueryWalk, shape_of, stage_ends_us

CHAIN = Query(
    name="q",
    slo_us=100_000,
    stages=(
        Stage(name="a", model="m"),
        Stage(name="b", model="m", after=("a",), fan_out=2.0),
    ),
)
JOIN = Query(
    name="j",
    slo_us=100_000,
    stages=(
        Stage(name="a", model="m"),
        Stage(name="b", model="m"),
        Stage(name="c", model="m", after=("a", "b"), per=Per.FRAME),
    ),
)


def walk_of(query: Query, values: tuple[int, ...] = (), *, partial: bool = False) -> QueryWalk:
    fan_outs = {"b": FanOut(kind="listed", values=values)} if values else {}
    shape = shape_of(query, fan_outs, partial_answers=partial)
    ends_us = stage_ends_us(shape, [10_000] * len(query.stages))
    return QueryWalk(
        shape, first_line=0, frontend=0, request_id=1, deadline_us=150_000, ends_us=ends_us
    )


def test_query_walk_runs_a_child_for_every_finding() -> None:
    walk, rng = walk_of(CHAIN, (3,)), random.Random(0)
    assert walk.begin() == [(0, 1)]
    assert list(walk.found(0, rng)) == [(1, 3)]
    assert [list(walk.found(1, rng)) for _ in range(3)] == [[], [], []]
    assert walk.finished


def test_query_walk_with_nothing_found_is_finished() -> None:
    walk = walk_of(CHAIN, (0,))
    walk.begin()
    assert list(walk.found(0, random.Random(0))) == []
    assert walk.finished


def test_query_walk_takes_no_more_than_fan_out_max() -> None:
    walk = walk_of(CHAIN, (40,))
    walk.begin()
    assert list(walk.found(0, random.Random(0))) == [(1, CHAIN.stages[1].fan_out_max)]


def test_query_walk_a_join_waits_for_all_parents() -> None:
    walk, rng = walk_of(JOIN), random.Random(0)
    assert walk.begin() == [(0, 1), (1, 1)]
    assert list(walk.found(1, rng)) == []
    assert list(walk.found(0, rng)) == [(2, 1)]


def test_query_walk_a_lost_item_fails_the_query_as_the_papers_does() -> None:
    walk, rng = walk_of(CHAIN, (2,)), random.Random(0)
    walk.begin()
    walk.found(0, rng)
    walk.lost(1, DropReason.DEADLINE)
    assert walk.finished
    assert walk.failed is DropReason.DEADLINE


def test_query_walk_partial_answers_survive_a_lost_item_below_the_root() -> None:
    walk, rng = walk_of(CHAIN, (2,), partial=True), random.Random(0)
    walk.begin()
    walk.found(0, rng)
    walk.lost(1, DropReason.DEADLINE)
    assert [walk.finished, len(walk.found(1, rng)), walk.finished] == [False, 0, True]
    assert walk.failed is None


def test_query_walk_stages_are_due_by_the_longest_path() -> None:
    # The frame came at 50,000 us: its deadline less the SLO.
    assert walk_of(JOIN).due_us == (60_000, 60_000, 70_000)
