"""Drives the cellular engine over a slot runner: inputs in, chunks run, outputs and states out.

It belongs to one thread, the device's; it holds no decisions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from nexus.backend.kernels.cellular import events
from nexus.backend.kernels.cellular.engine import CellularEngine
from nexus.backend.kernels.cellular.events import Chunk, EndReason, SequenceKey
from nexus.backend.kernels.cellular.slot_runner import SlotRunner, SlotState, check_slot_state
from nexus.backend.kernels.weights import Floats
from nexus.core.clock import Clock
from nexus.core.errors import InvalidArgumentError, NexusError


class Progress(NamedTuple):
    """Outputs ``y`` [steps, hidden] of a sequence, from its step number ``start`` on."""

    key: SequenceKey
    start: int
    y: Floats


class Over(NamedTuple):
    """A sequence has ended; ``state`` is its last, where there is one and it is sound."""

    key: SequenceKey
    reason: EndReason
    message: str
    state: SlotState | None


class FeedLost(NamedTuple):
    """So many steps were not taken: too many wait, or the stream was told to end."""

    key: SequenceKey
    steps: int


Report: TypeAlias = Progress | Over | FeedLost


@dataclass(slots=True)
class _Inputs:
    """``x`` [steps, input], the first of them number ``start``; those before ``done`` are done."""

    x: Floats
    start: int = 0
    done: int = 0
    state: SlotState | None = None

    def append(self, x: Floats) -> None:
        """More is fed: the moment to forget what is done."""
        self.x = np.concatenate((self.x[self.done - self.start :], x))
        self.start = self.done


class CellularDriver:
    """One stack's running sequences. ``reports`` grow with every call; take them with `take`."""

    def __init__(self, engine: CellularEngine, runner: SlotRunner, clock: Clock) -> None:
        """``runner`` has as many slots as the engine's limits say."""
        self._engine = engine
        self._runner = runner
        self._clock = clock
        self._inputs: dict[SequenceKey, _Inputs] = {}
        self._chunk: Chunk | None = None
        self._reports: list[Report] = []
        self._x = np.zeros((runner.slots, 1, runner.shape.input_size), np.float32)

    @property
    def busy(self) -> bool:
        """Whether there is a chunk to run."""
        return self._chunk is not None

    def next_wakeup_us(self) -> int | None:
        """When to call `tick` although nothing happens."""
        return self._engine.next_wakeup_us()

    def join(
        self,
        key: SequenceKey,
        x: Floats,
        deadline_us: int | None = None,
        state: SlotState | None = None,
    ) -> None:
        """A whole sequence is here: ``x`` [steps, input], and the state it begins with.

        Raises:
            InvalidArgumentError: a shape is not the stack's.
        """
        self._check(x, state)
        self._inputs[key] = _Inputs(x, state=state)
        self._tell(events.Join(key, len(x), deadline_us, resumes=state is not None))

    def open(self, key: SequenceKey, state: SlotState | None = None) -> None:
        """A stream begins; raise InvalidArgumentError for a state that is not the stack's."""
        empty = np.empty((0, self._runner.shape.input_size), np.float32)
        self._check(empty, state)
        self._inputs[key] = _Inputs(empty, state=state)
        self._tell(events.Join(key, None, resumes=state is not None))

    def feed(self, key: SequenceKey, x: Floats, deadline_us: int | None = None) -> None:
        """More of a stream: ``x`` [steps, input]. Nothing happens where it has ended.

        Raises:
            InvalidArgumentError: ``x`` is not what the stack takes.
        """
        self._check(x, None)
        inputs = self._inputs.get(key)
        if inputs is None:
            return
        taken = not any(
            isinstance(report, FeedLost)
            for report in self._tell(events.Feed(key, len(x), deadline_us))
        )
        if taken:
            inputs.append(x)

    def leave(self, key: SequenceKey) -> None:
        """Nothing more will be fed to a stream."""
        self._tell(events.Leave(key))

    def cancel(self, key: SequenceKey) -> None:
        """Nobody wants the rest of a sequence."""
        self._tell(events.Cancel(key))

    def advance(self, keys: Sequence[SequenceKey], until: SequenceKey | None = None) -> None:
        """Run a chunk of these, no longer than to the end of ``until``; the engine is not eager."""
        self._tell(events.Advance(tuple(keys), until))
        if self.busy:
            self.run_chunk()

    def tick(self) -> None:
        """Time has passed."""
        self._tell(events.Tick())

    def run_chunk(self) -> None:
        """Run the chunk that the engine asked for."""
        chunk, self._chunk = self._chunk, None
        assert chunk is not None
        error = ""
        try:
            self._run(chunk)
        except NexusError as failure:
            error = failure.message
        except Exception as failure:  # noqa: BLE001 - a defect must cost this chunk, not the device
            error = f"{type(failure).__name__}: {failure}"
        self._tell(events.ChunkDone(chunk.id, error))

    def take(self) -> list[Report]:
        """What happened since the last call, in order."""
        reports, self._reports = self._reports, []
        return reports

    def _run(self, chunk: Chunk) -> None:
        rows = chunk.rows
        if chunk.steps > self._x.shape[1]:
            self._x = np.zeros((len(self._x), chunk.steps, self._x.shape[2]), np.float32)
        # Row-major, so that each sequence's steps are one copy; the runner sees [steps, rows, ...].
        x = self._x[: len(rows), : chunk.steps]
        lengths = np.zeros(len(rows), np.int32)
        for index, row in enumerate(rows):
            inputs = self._inputs.get(row.key)
            if inputs is not None:  # Else it was cancelled since the engine asked for the chunk.
                first = row.start - inputs.start
                x[index, : row.steps] = inputs.x[first : first + row.steps]
                inputs.done += row.steps
                lengths[index] = row.steps
        slots = np.array([row.slot for row in rows], np.int32)
        y = self._runner.advance(slots, x.transpose(1, 0, 2), lengths)
        for index, row in enumerate(rows):
            if row.key in self._inputs:
                self._reports.append(Progress(row.key, row.start, y[: row.steps, index]))

    def _tell(self, event: events.CellularEvent) -> list[Report]:
        """Let the engine decide, and do what it says; what was reported by that."""
        already = len(self._reports)
        for effect in self._engine.handle(event, self._clock.now_us()):
            self._perform(effect)
        return self._reports[already:]

    def _perform(self, effect: events.CellularEffect) -> None:
        match effect:
            case events.RunChunk(chunk):
                self._chunk = chunk
            case events.Occupy(key, slot, resumes):
                inputs = self._inputs[key]
                assert resumes == (inputs.state is not None), key
                self._runner.reset(slot, inputs.state)
                inputs.state = None
            case events.Park(key, slot):
                self._inputs[key].state = self._runner.state(slot)
            case events.FeedRefused(key, steps):
                self._reports.append(FeedLost(key, steps))
            case events.Ended(key, reason, slot, message):
                state = self._inputs.pop(key).state if slot is None else self._leaving(key, slot)
                self._reports.append(Over(key, reason, message, state))

    def _leaving(self, key: SequenceKey, slot: int) -> SlotState:
        del self._inputs[key]
        return self._runner.state(slot)

    def _check(self, x: Floats, state: SlotState | None) -> None:
        shape = self._runner.shape
        if x.ndim != 2 or x.shape[1] != shape.input_size or x.dtype != np.float32:  # noqa: PLR2004 - steps, input
            raise InvalidArgumentError(
                f"input {x.dtype}{list(x.shape)}, must be float32[steps, {shape.input_size}]",
                reason="invalid_shape",
            )
        if state is not None:
            check_slot_state(shape, state)
