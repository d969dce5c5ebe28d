"""The cellular engine: which sequences advance together, and by how many steps, without any I/O.

    Join ──► waits for a slot ──Occupy──► in a slot ──RunChunk──► ... ──► Ended
                  ▲                        │     ▲ │
                  └──── Feed ──── parked ◄─Park  └─┴ Feed, when it had nothing left to execute

One chunk is on the device at a time. Between two chunks finished sequences leave and waiting ones
join, so nobody waits for the longest of a batch; nobody ever waits for a chunk to fill. A slot is a
sequence's from Occupy to Park or Ended. A stream that has nothing to execute keeps its slot until
another needs it, and is parked then: slots are a cache of states, the longest idle leaves first.

An engine that is not ``eager`` starts a chunk only when it is told to, of those whom it is told
(`Advance`): whoever tells decides who is in time, and gives no deadlines. Slots are a cache then,
too.

A whole sequence is given up as soon as its last step cannot be in time. A stream is not: its later
steps need the state after those that are late. It is bounded by `Limits.ready_steps` instead.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from nexus.backend.kernels.cellular.chunk_cost import ChunkCost, chunk_steps, finish_us
from nexus.backend.kernels.cellular.events import (
    Advance,
    Cancel,
    CellularEffect,
    CellularEvent,
    Chunk,
    ChunkDone,
    Ended,
    EndReason,
    Feed,
    FeedRefused,
    Join,
    Leave,
    Occupy,
    Park,
    Row,
    RunChunk,
    SequenceKey,
    Tick,
)
from nexus.backend.kernels.cellular.limits import Limits
from nexus.backend.kernels.cellular.sequence import NEVER_US, Sequence
from nexus.backend.kernels.cellular.waiting_sequences import WaitingSequences
from nexus.core.errors import InvalidArgumentError

PACE_SMOOTHING = 1 / 8
"""The weight of the newest chunk in what the device takes, relative to the cost model."""
PACE_MAX = 4.0
"""One chunk that was held up for longer says nothing about the next."""

NEVER_STEPS = 1 << 62

TOO_LATE = "its last step could no longer be in time"

Effects = tuple[CellularEffect, ...]


@dataclass(slots=True)
class _Running:
    chunk: Chunk
    sequences: list[Sequence]
    started_us: int
    expected_us: float


class CellularEngine:
    """Sans-io (nexus.core.engine). Drive it with the events of ``cellular.events``."""

    def __init__(self, limits: Limits, cost: ChunkCost, *, eager: bool = True) -> None:
        """Start with every slot free.

        Args:
            limits: How much it takes.
            cost: Of the device.
            eager: Chunks start as soon as anybody has steps; else at `Advance`.

        Raises:
            InvalidArgumentError: the cost model does not know chunks of as many rows as slots.
        """
        if cost.rows_max < limits.slots:
            raise InvalidArgumentError(
                f"{limits.slots} slots, but a cost model of up to {cost.rows_max} rows",
                reason="invalid_cost",
            )
        self._limits = limits
        self._cost = cost
        self._eager = eager
        self._pace = 1.0
        self._open: dict[SequenceKey, Sequence] = {}
        self._seated: dict[int, Sequence] = {}
        self._free = list(reversed(range(limits.slots)))
        self._waiting = WaitingSequences()
        # Both in order of ``idle_since_us``; the second holds those of the first that have slots.
        self._idle: dict[SequenceKey, Sequence] = {}
        self._resting: dict[SequenceKey, Sequence] = {}
        self._streams = 0
        self._joins = 0
        self._chunks = 0
        self._running: _Running | None = None
        self._effects: list[CellularEffect] = []
        self._on: dict[type, Callable[[Any, int], None]] = {
            Join: self._join,
            Feed: self._feed,
            Leave: self._leave,
            Cancel: self._cancel,
            Advance: self._advance_told,
            ChunkDone: self._chunk_done,
            Tick: lambda _event, _now_us: None,
        }

    def handle(self, event: CellularEvent, now_us: int) -> Effects:
        """Take one event; return what to do, in this order."""
        self._on[type(event)](event, now_us)
        self._end_late(now_us)
        self._end_idle(now_us)
        if self._running is None and self._eager:
            self._proceed(now_us)
        effects = tuple(self._effects)
        self._effects.clear()
        return effects

    def next_wakeup_us(self) -> int | None:
        """When somebody's wait, or a stream's idleness, comes to its end."""
        late_us = self._waiting.latest_us + 1
        idle_us = next((s.idle_since_us for s in self._idle.values()), NEVER_US)
        wakeup_us = min(late_us, idle_us + self._limits.idle_us)
        return wakeup_us if wakeup_us < NEVER_US else None

    @property
    def executing(self) -> bool:
        """Whether a chunk is on the device."""
        return self._running is not None

    def __len__(self) -> int:
        """How many sequences are open."""
        return len(self._open)

    # What sequences do.

    def _join(self, event: Join, now_us: int) -> None:
        assert event.key not in self._open, event.key
        refusal = self._refusal(event)
        if refusal is not None:
            self._effects.append(refusal)
            return
        self._joins += 1
        sequence = self._open[event.key] = Sequence(event, self._joins)
        if sequence.stream:
            self._streams += 1
            self._rest(sequence, now_us)
            return
        if sequence.due_us < NEVER_US:
            alone_us = math.ceil(sequence.ready * self._cost.steps_us[1])
            sequence.latest_us = sequence.due_us - alone_us
        self._waiting.push(sequence)

    def _refusal(self, event: Join) -> Ended | None:
        limits = self._limits
        if event.steps is None:
            if self._streams >= limits.streams:
                message = f"{limits.streams} streams are open, as many as may be"
                return Ended(event.key, EndReason.STREAMS_FULL, message=message)
            return None
        if event.steps == 0:
            return Ended(event.key, EndReason.FINISHED)
        if event.steps > limits.ready_steps:
            message = f"{event.steps} steps, at most {limits.ready_steps} are taken"
            return Ended(event.key, EndReason.BACKLOG, message=message)
        # Those for whom a slot is free wait for no more than the end of this chunk.
        if len(self._waiting) - len(self._free) >= limits.waiting:
            message = f"{limits.waiting} sequences wait for a slot, as many as may"
            return Ended(event.key, EndReason.QUEUE_FULL, message=message)
        return None

    def _feed(self, event: Feed, _now_us: int) -> None:
        sequence = self._open.get(event.key)
        if sequence is None:
            return  # That it ended is on its way to whoever feeds.
        if (
            sequence.total is not None
            or sequence.ready + event.steps > self._limits.ready_steps
            or event.steps < 1
        ):
            self._effects.append(FeedRefused(event.key, event.steps))
            return
        sequence.feed(event.steps, event.deadline_us)
        if self._idle.pop(event.key, None) is None:
            return  # It waits, or advances, already.
        if sequence.slot is None:
            self._waiting.push(sequence)
        else:
            del self._resting[event.key]

    def _leave(self, event: Leave, _now_us: int) -> None:
        sequence = self._open.get(event.key)
        if sequence is not None:
            sequence.total = sequence.fed
            if sequence.finished:
                self._end(sequence, EndReason.FINISHED)

    def _cancel(self, event: Cancel, _now_us: int) -> None:
        sequence = self._open.get(event.key)
        if sequence is not None:
            if sequence.slot is None and sequence.ready:
                self._waiting.remove(sequence)
            self._end(sequence, EndReason.CANCELLED)

    def _rest(self, sequence: Sequence, now_us: int) -> None:
        """It has nothing to execute until it is fed."""
        sequence.idle_since_us = now_us
        self._idle[sequence.key] = sequence
        if sequence.slot is not None:
            self._resting[sequence.key] = sequence

    def _end(self, sequence: Sequence, reason: EndReason, message: str = "") -> None:
        """It is over. One that waits has left the queue before."""
        del self._open[sequence.key]
        self._idle.pop(sequence.key, None)
        self._resting.pop(sequence.key, None)
        self._streams -= sequence.stream
        slot = None if sequence.running or reason is EndReason.ERROR else sequence.slot
        self._effects.append(Ended(sequence.key, reason, slot, message))
        if sequence.slot is not None and not sequence.running:
            self._vacate(sequence)

    def _vacate(self, sequence: Sequence) -> None:
        assert sequence.slot is not None, sequence.key
        del self._seated[sequence.slot]
        self._free.append(sequence.slot)
        sequence.slot = None

    # What time does.

    def _end_late(self, now_us: int) -> None:
        for sequence in self._waiting.pop_late(now_us):
            self._end(sequence, EndReason.DEADLINE, TOO_LATE)

    def _end_idle(self, now_us: int) -> None:
        while self._idle:
            sequence = next(iter(self._idle.values()))
            if sequence.idle_since_us + self._limits.idle_us > now_us:
                break
            message = f"nothing was fed to it for {self._limits.idle_us // 1_000} ms"
            self._end(sequence, EndReason.IDLE, message)

    def _give_up(self, active: list[Sequence], now_us: int) -> None:
        """End those in slots that cannot be in time, the most belated first."""
        paced_us = self._cost.paced_us[len(active)] * self._pace
        endangered = [
            (s.due_us - s.ready * paced_us, s.order, s)
            for s in active
            if s.due_us < now_us + s.ready * paced_us and not s.stream
        ]
        for _, _, sequence in sorted(endangered):
            active.remove(sequence)
            if self._in_time(sequence, active, now_us):
                active.append(sequence)
            else:
                self._end(sequence, EndReason.DEADLINE, TOO_LATE)

    def _in_time(self, sequence: Sequence, others: list[Sequence], now_us: int) -> bool:
        """Whether its last step is expected in time if nobody joins any more."""
        if sequence.stream or sequence.due_us == NEVER_US:
            return True
        left = sorted(other.ready for other in others)
        needed_us = finish_us(self._cost, left, sequence.ready) * self._pace
        return now_us + needed_us <= sequence.due_us

    # Chunks.

    def _proceed(self, now_us: int) -> None:
        """Between two chunks: whoever is late leaves, whoever waits joins, and the next starts."""
        active = [sequence for sequence in self._seated.values() if sequence.ready]
        if active:
            self._give_up(active, now_us)
        if self._waiting:
            self._seat(active, now_us)
        if active:
            self._start(active, now_us)

    def _seat(self, active: list[Sequence], now_us: int) -> None:
        """Give slots to those that wait, as long as there are any."""
        while self._waiting and len(active) < self._limits.slots:
            sequence = self._waiting.pop()
            if not self._in_time(sequence, active, now_us):
                self._end(sequence, EndReason.DEADLINE, TOO_LATE)
                continue
            if not self._free:
                # The slot of the stream that has been idle for longest.
                self._park(self._resting.pop(next(iter(self._resting))))
            self._occupy(sequence)
            active.append(sequence)

    def _occupy(self, sequence: Sequence) -> None:
        slot = sequence.slot = self._free.pop()
        self._seated[slot] = sequence
        self._effects.append(Occupy(sequence.key, slot, sequence.started))

    def _park(self, sequence: Sequence) -> None:
        assert sequence.slot is not None, sequence.key
        self._effects.append(Park(sequence.key, sequence.slot))
        self._vacate(sequence)

    def _advance_told(self, event: Advance, now_us: int) -> None:
        assert self._running is None, event
        active = []
        for key in event.keys:
            sequence = self._open.get(key)
            if sequence is None or not sequence.ready:
                continue
            if sequence.slot is None:
                if not self._make_room(event.keys):
                    continue  # There are more than slots: it comes when one of them has ended.
                self._waiting.remove(sequence)
                self._occupy(sequence)
            active.append(sequence)
        if active:
            until = self._open.get(event.until) if event.until is not None else None
            self._start(active, now_us, until.ready if until else NEVER_STEPS)

    def _make_room(self, staying: Collection[SequenceKey]) -> bool:
        """Have a slot free, taken from somebody else than these if need be; whether there is."""
        if self._free:
            return True
        other = next((s for s in self._seated.values() if s.key not in staying), None)
        if other is None:
            return False
        self._resting.pop(other.key, None)
        self._park(other)
        if other.ready:
            self._waiting.push(other)
        return True

    def _start(self, active: list[Sequence], now_us: int, steps_max: int = NEVER_STEPS) -> None:
        steps = min(self._steps(active, now_us), steps_max)
        rows = []
        for sequence in active:
            slot, ready = sequence.slot, sequence.ready
            assert slot is not None, sequence.key
            sequence.running = running = min(steps, ready)
            rows.append(Row(sequence.key, slot, sequence.done, running))
        self._chunks += 1
        chunk = Chunk(self._chunks, steps, tuple(rows))
        expected_us = self._cost.chunk_us(len(rows), steps)
        self._running = _Running(chunk, active, now_us, expected_us)
        self._effects.append(RunChunk(chunk))

    def _steps(self, active: list[Sequence], now_us: int) -> int:
        """The length of the next chunk."""
        cost, rows = self._cost, len(active)
        left = [sequence.ready for sequence in active]
        steps = chunk_steps(cost, rows, max(left), self._limits.join_wait_us / self._pace)
        # Whoever waits now found every slot busy: none is free before the first row's end.
        first = min(left)
        room_us = (self._waiting.latest_us - now_us) / self._pace
        if cost.chunk_us(rows, first) <= room_us < cost.chunk_us(rows, steps):
            return first
        return steps

    def _chunk_done(self, event: ChunkDone, now_us: int) -> None:
        running, self._running = self._running, None
        assert running is not None, event
        assert running.chunk.id == event.chunk_id, (running.chunk.id, event)
        if not event.error:
            self._learn(now_us - running.started_us, running.expected_us)
        for sequence in running.sequences:
            steps, sequence.running = sequence.running, 0
            if self._open.get(sequence.key) is not sequence:
                self._vacate(sequence)  # It ended while the chunk ran.
            elif event.error:
                self._end(sequence, EndReason.ERROR, event.error)
            else:
                self._advance(sequence, steps, now_us)

    def _advance(self, sequence: Sequence, steps: int, now_us: int) -> None:
        sequence.advance(steps)
        if sequence.finished:
            self._end(sequence, EndReason.FINISHED)
        elif not sequence.ready:
            self._rest(sequence, now_us)

    def _learn(self, took_us: int, expected_us: float) -> None:
        """The cost model was measured on a quiet machine, or on another day."""
        ratio = min(max(took_us / expected_us, 1 / PACE_MAX), PACE_MAX)
        self._pace += PACE_SMOOTHING * (ratio - self._pace)
