"""Measuring a model on the executor that will serve it (paper, section 5).

The device's part of a batch, l(b), is stacking the items, running the network and handing out the
rows: what the backend's device thread does for a batch. Pre- and post-processing run beside it in a
pool, so they are measured apart, an item at a time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from nexus.backend.network import NetworkModel, Samples
from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import FailedPreconditionError, NexusError
from nexus.core.model import Model
from nexus.core.request import Dispatch
from nexus.core.session import SLO_US_MAX
from nexus.core.tensor import Tensor
from nexus.profiler.durations import enough_runs, summarise
from nexus.profiler.measurement import BatchRow, ItemCost, Measurement
from nexus.profiler.memory_meter import MemoryMeter
from nexus.profiler.profiled_device import ProfiledDevice, engine_condition
from nexus.profiler.progress import OnProgress, Progress, ignore_progress
from nexus.profiler.progression import (
    LARGEST,
    OUT_OF_MEMORY,
    batch_grid,
    disturbed,
    reason_to_end,
)
from nexus.profiler.sample_input import sample_input
from nexus.profiler.settings import ProfilerSettings

T = TypeVar("T")
STEPS_BESIDE_BATCHES = 3
MESSAGE_LENGTH_MAX = 200


def profile_model(
    model: Model,
    device: ProfiledDevice,
    *,
    settings: ProfilerSettings | None = None,
    tensors: tuple[Tensor, ...] = (),
    on_progress: OnProgress = ignore_progress,
    clock: Clock | None = None,
) -> Measurement:
    """Measure ``model`` by batch size, from 1 until a larger batch is not worth it.

    Args:
        model: Its ``max_batch`` is the largest batch tried.
        device: Loads and runs it (``open_device``); nothing else should use it meanwhile.
        settings: How carefully; None takes the defaults.
        tensors: A real input of one item; none: one is made from what the model declares.
        on_progress: Called after each step.
        clock: None takes this machine's.

    Raises:
        FailedPreconditionError: Not even batch 1 runs.
        NexusError: The model cannot be loaded, or does not take the input.
    """
    settings, clock = settings or ProfilerSettings(), clock or MonotonicClock()
    loaded, load_us = _timed(clock, partial(device.executor.load_now, model))
    try:
        device.meter.start()
        run = _Run(
            model,
            loaded,
            settings=settings,
            meter=device.meter,
            clock=clock,
            on_progress=on_progress,
        )
        prepared, preprocess = run.preprocess(tensors or sample_input(model))
        rows, ended = run.batches(prepared)
        postprocess = run.postprocess(prepared)
    finally:
        loaded.network.close()
    return Measurement(
        model=model.name,
        device=device.type,
        hardware=device.hardware,
        conditions={**device.conditions, **engine_condition(model.engine)},
        ended=ended,
        load_us=load_us,
        preprocess=preprocess,
        postprocess=postprocess,
        rows=rows,
    )


class _Run:
    """One loaded model being measured."""

    def __init__(
        self,
        model: Model,
        loaded: NetworkModel,
        *,
        settings: ProfilerSettings,
        meter: MemoryMeter,
        clock: Clock,
        on_progress: OnProgress,
    ) -> None:
        self._model = model
        self._loaded = loaded
        self._settings = settings
        self._meter = meter
        self._clock = clock
        self._on_progress = on_progress
        self._grid = batch_grid(min(model.max_batch, settings.max_batch), settings.every_batch_to)
        self._rechecks: Counter[int] = Counter()
        self._done = 0
        self._report("loaded")

    def preprocess(self, tensors: tuple[Tensor, ...]) -> tuple[Samples, ItemCost]:
        dispatch = Dispatch(id=0, session=self._model.name, deadline_us=SLO_US_MAX)
        prepare = partial(self._loaded.prepare, dispatch, tensors)
        prepared = prepare()
        cost = self._item_cost(prepare)
        self._report("preprocessing")
        return prepared, cost

    def postprocess(self, prepared: Samples) -> ItemCost:
        (outputs,) = self._loaded.execute([prepared])
        cost = self._item_cost(partial(self._loaded.answer, prepared, outputs))
        self._report("postprocessing")
        return cost

    def batches(self, prepared: Samples) -> tuple[tuple[BatchRow, ...], str]:
        """The rows, and why there are no more."""
        rows: list[BatchRow] = []
        for batch in self._grid:
            try:
                rows.append(self._batch(prepared, batch))
            except Exception as error:
                if not rows:
                    raise self._does_not_run(error) from error
                return tuple(self._rechecked(rows, prepared)), _reason(batch, error)
            self._report(f"batch {batch}", rows[-1])
            if reason_to_end(rows, self._settings):
                # The reason may itself be a disturbance: it must still hold afterwards.
                rows = self._rechecked(rows, prepared)
                if ended := reason_to_end(rows, self._settings):
                    return tuple(rows), ended
        return tuple(self._rechecked(rows, prepared)), LARGEST

    def _batch(self, prepared: Samples, batch: int) -> BatchRow:
        summary = summarise(self._durations_us(partial(self._loaded.execute, [prepared] * batch)))
        return BatchRow(
            batch=batch,
            p50_us=summary.p50_us,
            p95_us=summary.p95_us,
            p99_us=summary.p99_us,
            std_us=summary.std_us,
            memory_bytes=self._loaded.memory_bytes + self._meter.peak_bytes(),
            repeats=summary.repeats,
        )

    def _rechecked(self, rows: Sequence[BatchRow], prepared: Samples) -> list[BatchRow]:
        """Measure again what looks disturbed, at most ``rechecks_max`` times each; the best holds.

        What else the machine does can only add to a batch's time, never take from it.
        """
        best = list(rows)
        while suspects := [at for at in disturbed(best) if self._may_recheck(best[at].batch)]:
            for position in suspects:
                batch = best[position].batch
                self._rechecks[batch] += 1
                again = self._batch(prepared, batch)
                if again.p95_us < best[position].p95_us:
                    # Not its memory: by now the peak is that of larger batches.
                    best[position] = replace(again, memory_bytes=best[position].memory_bytes)
                self._tell(f"batch {batch} again", best[position])
        return best

    def _may_recheck(self, batch: int) -> bool:
        return self._rechecks[batch] < self._settings.rechecks_max

    def _durations_us(self, function: Callable[[], object]) -> Sequence[int]:
        warm_up_us = 0
        for _ in range(self._settings.warm_up):
            warm_up_us += self._time_us(function)
            if warm_up_us > self._settings.batch_time_us:
                break
        durations_us: list[int] = []
        while not enough_runs(durations_us, self._settings):
            durations_us.append(self._time_us(function))
        return durations_us

    def _item_cost(self, function: Callable[[], object]) -> ItemCost:
        function()
        summary = summarise([self._time_us(function) for _ in range(self._settings.item_repeats)])
        return ItemCost(
            p50_us=summary.p50_us,
            p95_us=summary.p95_us,
            std_us=summary.std_us,
            repeats=summary.repeats,
        )

    def _time_us(self, function: Callable[[], object]) -> int:
        return _timed(self._clock, function)[1]

    def _report(self, what: str, row: BatchRow | None = None) -> None:
        self._done += 1
        self._tell(what, row)

    def _tell(self, what: str, row: BatchRow | None) -> None:
        steps = len(self._grid) + STEPS_BESIDE_BATCHES
        self._on_progress(
            Progress(model=self._model.name, done=self._done, steps=steps, what=what, row=row)
        )

    def _does_not_run(self, error: Exception) -> NexusError:
        if isinstance(error, NexusError):
            return error
        return FailedPreconditionError(
            f"model {self._model.name!r} does not run at batch 1: {_one_line(error)}",
            reason="model_does_not_run",
        )


def _timed(clock: Clock, function: Callable[[], T]) -> tuple[T, int]:
    started_us = clock.now_us()
    result = function()
    return result, clock.now_us() - started_us


def _reason(batch: int, error: Exception) -> str:
    reason = error.reason if isinstance(error, NexusError) else ""
    if isinstance(error, MemoryError) or reason == "out_of_memory":
        return OUT_OF_MEMORY
    return f"batch {batch} failed: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE_LENGTH_MAX]
