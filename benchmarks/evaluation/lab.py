"""Where measurements are made: several at once, each only once."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from benchmarks.evaluation.effort import Effort
from benchmarks.evaluation.measuring import Capacity, Case, Run, find_capacity, run_case

PROCESSES = os.cpu_count() or 1
"""Measurements made at once, unless told otherwise."""
OutcomeT = TypeVar("OutcomeT")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[AnswerT]):
    """A value, or (``error``) why there is none."""

    value: AnswerT | None = None
    error: str = ""


@dataclass(slots=True)
class Lab:
    """``say`` hears of progress; ``processes`` 1 measures in this process."""

    effort: Effort
    processes: int = PROCESSES
    say: Callable[[str], None] = print
    _capacities: "Cache[Capacity]" = field(init=False)
    _runs: "Cache[Run]" = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is measured yet."""
        self._capacities = Cache(partial(find_capacity, effort=self.effort), self._failed_search)
        self._runs = Cache(run_case, self._failed_run)

    def capacities(self, cases: Sequence[Case]) -> list[Capacity]:
        """The highest rate of each case, as a factor on the rates it gives."""
        return self._capacities.get(cases, self.processes, self.say)

    def runs(self, cases: Sequence[Case]) -> list[Run]:
        """One run of each case, with its scenario's seed and duration."""
        return self._runs.get(cases, self.processes, self.say)

    def calls(self, calls: Mapping[str, Callable[[], AnswerT]]) -> "dict[str, Answer[AnswerT]]":
        """What each function returns, or why it did not; they must be picklable."""
        answers = {}
        with ProcessPoolExecutor(self.processes) as workers:
            futures = {name: workers.submit(_answered, call) for name, call in calls.items()}
            for name, future in futures.items():
                try:
                    answers[name] = future.result()
                except BrokenProcessPool as error:  # the worker was killed, for memory perhaps
                    answers[name] = Answer(error=str(error))
                self.say(f"  {name}: {answers[name].error or 'done'}")
        return answers

    def _failed_search(self, reason: str) -> Capacity:
        return Capacity(error=reason)

    def _failed_run(self, reason: str) -> Run:
        return Run(error=reason)


@dataclass(slots=True)
class Cache(Generic[OutcomeT]):
    """Outcomes by case; what is not there yet is measured, in worker processes."""

    measure: Callable[[Case], OutcomeT]
    failed: Callable[[str], OutcomeT]
    _known: dict[str, OutcomeT] = field(default_factory=dict)

    def get(
        self, cases: Sequence[Case], processes: int, say: Callable[[str], None]
    ) -> list[OutcomeT]:
        """The outcome of each case, in the same order."""
        keys = [repr(case) for case in cases]
        missing = {
            key: case for key, case in zip(keys, cases, strict=True) if key not in self._known
        }
        for done, (key, outcome) in enumerate(self._measured(missing, processes), start=1):
            self._known[key] = outcome
            case = missing[key]
            say(f"  {done}/{len(missing)} {case.scenario.name} {case.policy}: {_short(outcome)}")
        return [self._known[key] for key in keys]

    def _measured(self, missing: dict[str, Case], processes: int) -> Iterable[tuple[str, OutcomeT]]:
        if processes == 1 or len(missing) <= 1:
            for key, case in missing.items():
                yield key, self.measure(case)
            return
        with ProcessPoolExecutor(min(processes, len(missing))) as workers:
            futures = {key: workers.submit(self.measure, case) for key, case in missing.items()}
            for key, future in futures.items():
                yield key, self._outcome(future)

    def _outcome(self, future: "Future[OutcomeT]") -> OutcomeT:
        try:
            return future.result()
        except BrokenProcessPool as error:  # a worker was killed, for memory perhaps
            return self.failed(str(error))


def _answered(call: Callable[[], AnswerT]) -> Answer[AnswerT]:
    try:
        return Answer(value=call())
    except Exception as error:  # noqa: BLE001 - one failed call must not end the evaluation
        return Answer(error=f"{type(error).__name__}: {error}")


def _short(outcome: object) -> str:
    match outcome:
        case Capacity(error=error) | Run(error=error) if error:
            return error
        case Capacity(factor=factor, goodput=goodput):
            return f"holds at {factor:.3f}, {goodput:,.0f}/s good"
        case Run(goodput=goodput, worst=worst):
            return f"{goodput:,.0f}/s good, worst session {worst:.2%}"
    return ""
