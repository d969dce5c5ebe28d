"""What the cellular engine is told, and what it answers with.

Of `Chunk` and its rows there is one for every few hundred microseconds: they are records.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from nexus.core.record import record
from nexus.core.request import DropReason

SequenceKey: TypeAlias = Hashable
"""Names a sequence; the shell never uses one twice."""


class EndReason(Enum):
    """How a sequence ended. Each ends in exactly one of these."""

    FINISHED = "finished"
    """Every step was executed, and nothing more will be fed."""
    DEADLINE = "deadline"
    """Its last step could no longer be in time."""
    QUEUE_FULL = "queue_full"
    """Every slot was busy, and as many as may wait for one did."""
    STREAMS_FULL = "streams_full"
    """As many streams are open as may be."""
    IDLE = "idle"
    """Nothing was fed to it for too long."""
    BACKLOG = "backlog"
    """A whole sequence came with more steps than may wait of one."""
    CANCELLED = "cancelled"
    """The caller went away."""
    ERROR = "error"
    """A chunk that it was in failed, and its state is lost."""

    @property
    def drop_reason(self) -> DropReason | None:
        """The same as requests know it; None of success."""
        return _DROP_REASONS[self]


_DROP_REASONS = {
    EndReason.FINISHED: None,
    EndReason.DEADLINE: DropReason.DEADLINE,
    EndReason.QUEUE_FULL: DropReason.QUEUE_FULL,
    EndReason.STREAMS_FULL: DropReason.QUEUE_FULL,
    EndReason.IDLE: DropReason.DEADLINE,
    EndReason.BACKLOG: DropReason.INVALID,
    EndReason.CANCELLED: DropReason.CANCELLED,
    EndReason.ERROR: DropReason.ERROR,
}


@record
class Join:
    """A sequence wants a slot.

    ``steps`` is its length, all of it here already; None: a stream, whose steps come by `Feed`.
    ``deadline_us`` is when the last step must have been executed; None: whenever. ``resumes``:
    the caller brings the state to begin with.
    """

    key: SequenceKey
    steps: int | None
    deadline_us: int | None = None
    resumes: bool = False


@record
class Feed:
    """``steps`` more of a stream are here, wanted by ``deadline_us``."""

    key: SequenceKey
    steps: int
    deadline_us: int | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing more will be fed to a stream: it ends once what was fed is executed."""

    key: SequenceKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants the rest of a sequence. One that has ended already is none."""

    key: SequenceKey


@record
class Advance:
    """Run a chunk of these sequences, in which each has a step at least.

    Only for an engine that starts none by itself. The chunk is no longer than to the end of
    ``until``.
    """

    keys: tuple[SequenceKey, ...]
    until: SequenceKey | None = None


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """The chunk has left the device; ``error`` is empty when it succeeded."""

    chunk_id: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but the time has changed."""


CellularEvent: TypeAlias = Join | Feed | Leave | Cancel | Advance | ChunkDone | Tick


class Row(NamedTuple):
    """One sequence's part in a chunk: ``steps`` of its steps, from number ``start`` on."""

    key: SequenceKey
    slot: int
    start: int
    steps: int


@record
class Chunk:
    """Rows to advance together; the longest has ``steps`` steps, and none is padded to that."""

    id: int
    steps: int
    rows: tuple[Row, ...]


@record
class Occupy:
    """The slot is the sequence's from now on.

    ``resumes``: with the state it was parked with, or brought along; else with zeros.
    """

    key: SequenceKey
    slot: int
    resumes: bool


@record
class Park:
    """Another needs the slot: read the sequence's state out of it, and keep it."""

    key: SequenceKey
    slot: int


@record
class RunChunk:
    """Advance the rows on the device, hand their outputs on, and tell ChunkDone."""

    chunk: Chunk


@record
class FeedRefused:
    """These steps are not taken, as too many of the stream wait already; it goes on without."""

    key: SequenceKey
    steps: int


@record
class Ended:
    """The sequence is over. Where ``slot`` is given, its last state can still be read there."""

    key: SequenceKey
    reason: EndReason
    slot: int | None = None
    message: str = ""


CellularEffect: TypeAlias = Occupy | Park | RunChunk | FeedRefused | Ended
