"""Measuring a model on the executor that will serve it (paper, section 5).

The device's part of a batch, l(b), is stacking the items and running the network: that is what the
backend does between choosing a batch and having its outputs. Pre- and post-processing run beside it
in a pool, so they are measured apart, an item at a time.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import FailedPreconditionError, NexusError
from nexus.core.model import Model
from nexus.core.names import DeviceType
from nexus.core.tensor import Tensor
from nexus.profiler.durations import enough_runs, summarise
from nexus.profiler.executor import Executor, LoadedModel
from nexus.profiler.measurement import BatchRow, ItemCost, Measurement
from nexus.profiler.progress import OnProgress, Progress, ignore_progress
from nexus.profiler.progression import LARGEST, OUT_OF_MEMORY, batch_grid, reason_to_end
from nexus.profiler.sample_input import sample_input
from nexus.profiler.settings import ProfilerSettings
from nexus.zoo.handler import Sample

T = TypeVar("T")
STEPS_BESIDE_BATCHES = 3
MESSAGE_LENGTH_MAX = 200


def profile_model(
    model: Model,
    executor: Executor,
    *,
    device: DeviceType,
    hardware: str = "",
    conditions: Mapping[str, str] | None = None,
    settings: ProfilerSettings | None = None,
    tensors: tuple[Tensor, ...] = (),
    on_progress: OnProgress = ignore_progress,
    clock: Clock | None = None,
) -> Measurement:
    """Measure ``model`` by batch size, from 1 until a larger batch is not worth it.

    Args:
        model: Its ``max_batch`` is the largest batch tried.
        executor: Loads and runs it; nothing else should use the device meanwhile.
        device: The device type that the profile is for.
        hardware: What the device really is, for people.
        conditions: What else the numbers depend on: versions, threads, precision.
        settings: How carefully; None takes the defaults.
        tensors: A real input of one item; none: one is made from what the model declares.
        on_progress: Called after each step.
        clock: None takes this machine's.

    Raises:
        FailedPreconditionError: Not even batch 1 runs.
        NexusError: The model cannot be loaded, or does not take the input.
    """
    run = _Run(model, settings or ProfilerSettings(), clock or MonotonicClock(), on_progress)
    loaded, load_us = run.timed(partial(executor.load, model))
    try:
        run.report("loaded")
        samples, preprocess = run.preprocess(loaded, tensors or sample_input(model))
        rows, ended = run.batches(loaded, samples[0])
        postprocess = run.postprocess(loaded, samples[0])
    finally:
        loaded.close()
    return Measurement(
        model=model.name,
        device=device,
        hardware=hardware,
        conditions=dict(conditions or {}),
        ended=ended,
        load_us=load_us,
        preprocess=preprocess,
        postprocess=postprocess,
        rows=rows,
    )


class _Run:
    """One model being measured."""

    def __init__(
        self, model: Model, settings: ProfilerSettings, clock: Clock, on_progress: OnProgress
    ) -> None:
        self._model = model
        self._settings = settings
        self._clock = clock
        self._on_progress = on_progress
        self._grid = batch_grid(min(model.max_batch, settings.max_batch), settings.every_batch_to)
        self._done = 0

    def timed(self, function: Callable[[], T]) -> tuple[T, int]:
        started_us = self._clock.now_us()
        result = function()
        return result, self._clock.now_us() - started_us

    def report(self, what: str, row: BatchRow | None = None) -> None:
        self._done += 1
        steps = len(self._grid) + STEPS_BESIDE_BATCHES
        self._on_progress(
            Progress(model=self._model.name, done=self._done, steps=steps, what=what, row=row)
        )

    def preprocess(
        self, loaded: LoadedModel, tensors: tuple[Tensor, ...]
    ) -> tuple[tuple[Sample, ...], ItemCost]:
        samples = loaded.handler.preprocess(tensors, ())
        cost = self._item_cost(lambda: loaded.handler.preprocess(tensors, ()), len(samples))
        self.report("preprocessing")
        return samples, cost

    def postprocess(self, loaded: LoadedModel, sample: Sample) -> ItemCost:
        outputs = loaded.run(loaded.handler.collate((sample,)))
        cost = self._item_cost(lambda: loaded.handler.postprocess(outputs, (sample,)), 1)
        self.report("postprocessing")
        return cost

    def batches(self, loaded: LoadedModel, sample: Sample) -> tuple[tuple[BatchRow, ...], str]:
        """The rows, and why there are no more."""
        rows: list[BatchRow] = []
        for batch in self._grid:
            try:
                rows.append(self._batch(loaded, (sample,) * batch))
            except Exception as error:
                if not rows:
                    raise self._does_not_run(error) from error
                return tuple(rows), _reason(batch, error)
            self.report(f"batch {batch}", rows[-1])
            if ended := reason_to_end(rows, self._settings):
                return tuple(rows), ended
        return tuple(rows), LARGEST

    def _batch(self, loaded: LoadedModel, samples: tuple[Sample, ...]) -> BatchRow:
        durations_us = self._durations_us(lambda: loaded.run(loaded.handler.collate(samples)))
        summary = summarise(durations_us)
        return BatchRow(
            batch=len(samples),
            p50_us=summary.p50_us,
            p95_us=summary.p95_us,
            p99_us=summary.p99_us,
            std_us=summary.std_us,
            memory_bytes=loaded.memory_bytes,
            repeats=summary.repeats,
        )

    def _durations_us(self, function: Callable[[], object]) -> Sequence[int]:
        warm_up_us = 0
        for _ in range(self._settings.warm_up):
            warm_up_us += self.timed(function)[1]
            if warm_up_us > self._settings.batch_time_us:
                break
        durations_us: list[int] = []
        while not enough_runs(durations_us, self._settings):
            durations_us.append(self.timed(function)[1])
        return durations_us

    def _item_cost(self, function: Callable[[], object], items: int) -> ItemCost:
        function()
        durations_us = [self.timed(function)[1] for _ in range(self._settings.item_repeats)]
        summary = summarise([duration_us // items for duration_us in durations_us])
        return ItemCost(
            p50_us=summary.p50_us,
            p95_us=summary.p95_us,
            std_us=summary.std_us,
            repeats=summary.repeats,
        )

    def _does_not_run(self, error: Exception) -> NexusError:
        if isinstance(error, NexusError):
            return error
        return FailedPreconditionError(
            f"model {self._model.name!r} does not run at batch 1: {_one_line(error)}",
            reason="model_does_not_run",
        )


def _reason(batch: int, error: Exception) -> str:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return OUT_OF_MEMORY
    return f"batch {batch} failed: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE_LENGTH_MAX]
