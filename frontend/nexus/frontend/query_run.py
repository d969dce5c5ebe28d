"""One frame on its way through a query's DAG: what runs next, and what the answer is (ADR 0016).

The rules:

- A root stage runs on the frame. When a root gives no result the query fails with its reason.
- A stage starts once *all* its parents are finished, on whatever they found: one call for the
  frame, or one for each finding of theirs with a label and score it asks for. The best-scored
  ``fan_out_max`` of each parent call are taken; the others are counted as skipped.
- The crops of a stage travel together: one dispatch with the frame once and their regions.
- An item that fails below the roots costs only itself and what would have followed it: the query
  still succeeds, and its stage's result counts the failed items and names them in its message. The
  stage itself counts as failed only when no item gave a result. A stage whose parents all failed is
  not run and says UPSTREAM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from nexus.core.answer import StageResult
from nexus.core.finding import Finding, Region
from nexus.core.names import StageName
from nexus.core.query import Per, Query, Stage
from nexus.core.request import DropReason, ItemResult, Outcome
from nexus.frontend.limits import STAGE_ITEMS_MAX
from nexus.frontend.outcomes import joined_tensors

_NO_FINDINGS = ItemResult()

_score = attrgetter("score")


class Call(NamedTuple):
    """Items ``first`` .. ``first + items - 1`` of a stage, to be dispatched together."""

    stage: StageName
    first: int
    items: int
    regions: tuple[Region, ...] = ()


class StageStart(NamedTuple):
    """A stage that may run now. ``parent_calls``: items of its parents that gave a result."""

    stage: Stage
    calls: tuple[Call, ...]
    parent_calls: int

    @property
    def items(self) -> int:
        """How many items it has to look at; 0 when its parents found nothing for it."""
        return sum([call.items for call in self.calls])


@dataclass(slots=True)
class _Progress:
    """A started stage. ``outcomes`` maps the first item of each answered call to its outcome.

    ``regions`` has None for an item that looks at the whole frame; ``crops`` are the others. The
    times and the batch are those of the slowest call.
    """

    regions: tuple[Region | None, ...]
    crops: tuple[Region, ...]
    skipped: int
    started_us: int
    unanswered: int
    finished_us: int
    results: list[ItemResult | None]
    reason: DropReason | None = None
    failures: dict[int, Outcome] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    queue_us: int = 0
    execute_us: int = 0
    batch: int = 0

    @property
    def gave_nothing(self) -> bool:
        """Whether it failed altogether, as opposed to finding nothing."""
        return self.reason is not None or (
            bool(self.failures) and len(self.failures) == len(self.results)
        )

    def take(self, first: int, items: int, outcome: Outcome) -> None:
        """Note how ``items`` items from ``first`` on ended."""
        self.outcomes[first] = outcome
        if outcome.reason is None:
            self.results[first : first + items] = outcome.items or (_NO_FINDINGS,) * items
        else:
            self.failures.update(dict.fromkeys(range(first, first + items), outcome))
        self.queue_us = max(self.queue_us, outcome.queue_us)
        self.execute_us = max(self.execute_us, outcome.execute_us)
        self.batch = max(self.batch, outcome.batch)
        self.unanswered -= items


class QueryRun:
    """The state of one frame. The engine tells it of answers and dispatches what it returns.

    ``failure`` is the outcome of the query once a root gave no result; None otherwise.
    """

    def __init__(self, query: Query) -> None:
        """Begin with no stage started."""
        self.query = query
        self.failure: Outcome | None = None
        self._progress: dict[StageName, _Progress] = {}
        self._unfinished = len(query.stages)

    def begin(self, now_us: int) -> tuple[StageStart, ...]:
        """Start the roots: one call each, on the frame."""
        return tuple([self._start(stage, (None,), 0, 1, now_us) for stage in self.query.roots])

    def answered(
        self, stage: StageName, first: int, items: int, outcome: Outcome, now_us: int
    ) -> tuple[StageStart, ...]:
        """Take the outcome of (part of) a call and return the stages that it allows to start."""
        progress = self._progress[stage]
        if outcome.ok and outcome.items and len(outcome.items) != items:
            message = f"the backend gave {len(outcome.items)} results for {items} items"
            outcome = Outcome(reason=DropReason.ERROR, message=message)
        progress.take(first, items, outcome)
        assert progress.unanswered >= 0, (stage, first, items)
        if outcome.reason is not None and not self.query.stage(stage).after:
            self.failure = self.failure or _failure(stage, outcome)
        if progress.unanswered:
            return ()
        progress.finished_us = now_us
        self._unfinished -= 1
        return tuple(self._start_ready(now_us))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to run or to wait for."""
        return self._unfinished == 0

    @property
    def outcome(self) -> Outcome:
        """The outcome of a query that is finished without a failure; its times are sums."""
        stages = self._progress.values()
        return Outcome(
            queue_us=sum([progress.queue_us for progress in stages]),
            execute_us=sum([progress.execute_us for progress in stages]),
        )

    def results(self, budgets_us: Mapping[StageName, int]) -> tuple[StageResult, ...]:
        """Every stage that was reached, in topological order."""
        return tuple(
            _result(stage.name, self._progress[stage.name], budgets_us.get(stage.name, 0))
            for stage in self.query.stages
            if stage.name in self._progress
        )

    def _start_ready(self, now_us: int) -> list[StageStart]:
        starts: list[StageStart] = []
        if len(self._progress) == len(self.query.stages):
            return starts
        # In topological order, so a stage that has nothing to do lets its children start too.
        for stage in self.query.stages:
            if stage.name in self._progress:
                continue
            parents = [self._progress.get(parent) for parent in stage.after]
            finished = [parent for parent in parents if parent and not parent.unanswered]
            if len(finished) == len(stage.after):
                starts.append(self._start_after(stage, finished, now_us))
        return starts

    def _start_after(self, stage: Stage, parents: list[_Progress], now_us: int) -> StageStart:
        results = [result for parent in parents for result in parent.results]
        parent_calls = sum(result is not None for result in results)
        if all(parent.gave_nothing for parent in parents):
            start = self._start(stage, (), 0, parent_calls, now_us)
            self._progress[stage.name].reason = DropReason.UPSTREAM
            return start
        if stage.per is Per.FRAME:
            return self._start(stage, (None,), 0, parent_calls, now_us)
        crops, skipped = _crops(stage, parents)
        return self._start(stage, crops, skipped, parent_calls, now_us)

    def _start(
        self,
        stage: Stage,
        regions: tuple[Region | None, ...],
        skipped: int,
        parent_calls: int,
        now_us: int,
    ) -> StageStart:
        crops = tuple([region for region in regions if region is not None])
        self._progress[stage.name] = _Progress(
            regions=regions,
            crops=crops,
            skipped=skipped,
            started_us=now_us,
            unanswered=len(regions),
            finished_us=now_us,
            results=[None] * len(regions),
        )
        if not regions:
            self._unfinished -= 1
        return StageStart(stage, _calls(stage.name, crops, len(regions)), parent_calls)


def _crops(stage: Stage, parents: list[_Progress]) -> tuple[tuple[Region | None, ...], int]:
    """The regions to look at, best-scored first, those of the whole frame last; and the skipped."""
    taken: list[tuple[Finding, Region | None]] = []
    skipped = 0
    for parent in parents:
        for result, looked_at in zip(parent.results, parent.regions, strict=True):
            wanted = _wanted(stage, result)
            skipped += len(wanted[stage.fan_out_max :])
            # A finding without a region is about all of what its item looked at.
            taken += [(f, f.region or looked_at) for f in wanted[: stage.fan_out_max]]
    taken.sort(key=lambda crop: (crop[1] is None, -crop[0].score))
    skipped += len(taken[STAGE_ITEMS_MAX:])
    return tuple(region for _, region in taken[:STAGE_ITEMS_MAX]), skipped


def _wanted(stage: Stage, result: ItemResult | None) -> list[Finding]:
    if result is None:
        return []
    wanted = [
        finding
        for finding in result.findings
        if finding.score >= stage.min_score and (not stage.each or finding.label in stage.each)
    ]
    return sorted(wanted, key=_score, reverse=True)


def _calls(stage: StageName, crops: tuple[Region, ...], items: int) -> tuple[Call, ...]:
    """One call for all crops; one more for each item that looks at the whole frame."""
    calls = [Call(stage, 0, len(crops), crops)] if crops else []
    calls += [Call(stage, position, 1) for position in range(len(crops), items)]
    return tuple(calls)


def _failure(root: StageName, outcome: Outcome) -> Outcome:
    return Outcome(
        reason=outcome.reason,
        message=f"stage {root!r}: {outcome.message}",
        retry_after_us=outcome.retry_after_us,
        expected_wait_us=outcome.expected_wait_us,
    )


def _result(stage: StageName, progress: _Progress, budget_us: int) -> StageResult:
    whole = len(progress.crops) != len(progress.regions)
    return StageResult(
        stage=stage,
        outcome=_stage_outcome(progress),
        regions=() if whole else progress.crops,
        budget_us=budget_us,
        latency_us=progress.finished_us - progress.started_us,
        skipped_items=progress.skipped,
        failed_items=len(progress.failures),
    )


def _stage_outcome(progress: _Progress) -> Outcome:
    answered = [outcome for _, outcome in sorted(progress.outcomes.items())]
    if len(answered) == 1 and answered[0].ok and answered[0].items:
        return answered[0]  # Nearly always: one call, and all of it gave something.
    failures = sorted(progress.failures.items())
    reason = progress.reason
    if failures and progress.gave_nothing:
        reason = failures[0][1].reason
    return Outcome(
        reason=reason,
        message="; ".join(f"item {position}: {failed.message}" for position, failed in failures),
        items=tuple(result or _NO_FINDINGS for result in progress.results),
        tensors=() if failures else joined_tensors([part.tensors for part in answered]),
        queue_us=progress.queue_us,
        execute_us=progress.execute_us,
        batch=progress.batch,
    )
