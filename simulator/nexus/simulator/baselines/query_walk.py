"""One frame's way through a query's DAG, by counts alone.

The rules of the frontend's ``QueryRun``, less regions and findings: a stage starts when all its
parents are finished, once for the frame or once for every finding of theirs. One difference is the
paper's: an item that is lost fails the whole query (its application aborts the request), unless
partial answers are allowed.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nexus.core.names import StageName
from nexus.core.query import Per, Query, Stage
from nexus.core.request import DropReason
from nexus.frontend.limits import STAGE_ITEMS_MAX
from nexus.scheduler.scenario import FanOut
from nexus.simulator.fan_out import LabelDraw


@dataclass(frozen=True, slots=True)
class _Child:
    stage: int
    draws: tuple[LabelDraw, ...]
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryShape:
    """What all walks through one query share; stages by their index in topological order.

    ``found[s]`` says what an item of stage s finds for the stages that run per finding.
    """

    query: Query
    parents: tuple[tuple[int, ...], ...]
    per_frame: tuple[bool, ...]
    found: tuple[tuple[_Child, ...], ...]
    partial_answers: bool


def shape_of(
    query: Query, fan_outs: Mapping[StageName, FanOut], *, partial_answers: bool = False
) -> QueryShape:
    """The shape of a query whose findings vary as ``fan_outs`` say; by default by Poisson."""
    index = {stage.name: i for i, stage in enumerate(query.stages)}
    return QueryShape(
        query=query,
        parents=tuple(tuple(index[name] for name in stage.after) for stage in query.stages),
        per_frame=tuple(stage.per is Per.FRAME for stage in query.stages),
        found=tuple(
            tuple(
                _Child(index[child.name], _draws(child, fan_outs), child.fan_out_max)
                for child in query.children(stage.name)
                if child.per is Per.FINDING
            )
            for stage in query.stages
        ),
        partial_answers=partial_answers,
    )


def stage_ends_us(shape: QueryShape, budgets_us: Sequence[int]) -> tuple[int, ...]:
    """When each stage ends, from the frame's arrival on, if all take the whole of their budgets."""
    ends: list[int] = []
    for stage, parents in enumerate(shape.parents):
        ends.append(max((ends[parent] for parent in parents), default=0) + budgets_us[stage])
    return tuple(ends)


def _draws(child: Stage, fan_outs: Mapping[StageName, FanOut]) -> tuple[LabelDraw, ...]:
    labels = child.each or (child.name,)
    mean = child.fan_out / len(child.after) / len(labels)
    return tuple(LabelDraw(label, mean, fan_outs.get(child.name, FanOut())) for label in labels)


class QueryWalk:
    """The state of one frame. ``failed`` says why it failed, once it has.

    ``answered`` is for whoever answers it, to do so once.
    """

    __slots__ = (
        "_found",
        "_open",
        "_shape",
        "answered",
        "deadline_us",
        "due_us",
        "failed",
        "first_line",
        "frontend",
        "request_id",
    )

    def __init__(
        self,
        shape: QueryShape,
        *,
        first_line: int,
        frontend: int,
        request_id: int,
        deadline_us: int,
        ends_us: Sequence[int],
    ) -> None:
        """Begin with no stage started; stage s is served as line ``first_line`` + s.

        ``due_us`` is when each stage should have ended, by ``ends_us`` from the frame's arrival.
        """
        stages = len(shape.parents)
        self.first_line = first_line
        self.frontend = frontend
        self.request_id = request_id
        self.deadline_us = deadline_us
        sent_us = deadline_us - shape.query.slo_us
        self.due_us = tuple(sent_us + end_us for end_us in ends_us)
        self.failed: DropReason | None = None
        self.answered = False
        self._shape = shape
        self._open: list[int | None] = [None] * stages
        self._found = [0] * stages

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or to wait for."""
        return self.failed is not None or not any(count != 0 for count in self._open)

    def begin(self) -> Sequence[tuple[int, int]]:
        """Start the roots; returns (stage, items) of every stage that starts."""
        return self._start_ready()

    def found(self, stage: int, rng: random.Random) -> Sequence[tuple[int, int]]:
        """An item of ``stage`` was executed: draw what it found; returns what starts."""
        for child in self._shape.found[stage]:
            count = sum(draw.count(rng) for draw in child.draws)
            self._found[child.stage] += min(child.most, count)
        return self._settled(stage)

    def lost(self, stage: int, reason: DropReason) -> Sequence[tuple[int, int]]:
        """An item of ``stage`` gave nothing; returns what starts all the same."""
        if not self._shape.partial_answers or not self._shape.parents[stage]:
            self.failed = self.failed or reason
            return ()
        return self._settled(stage)

    def _settled(self, stage: int) -> Sequence[tuple[int, int]]:
        left = self._open[stage]
        assert left, (self._shape.query.name, stage)
        self._open[stage] = left - 1
        return self._start_ready() if left == 1 and self.failed is None else ()

    def _start_ready(self) -> list[tuple[int, int]]:
        starts = []
        for stage, parents in enumerate(self._shape.parents):
            if self._open[stage] is None and not any(self._open[p] != 0 for p in parents):
                items = 1 if self._shape.per_frame[stage] else self._found[stage]
                self._open[stage] = min(items, STAGE_ITEMS_MAX)
                if items:
                    starts.append((stage, min(items, STAGE_ITEMS_MAX)))
        return starts
