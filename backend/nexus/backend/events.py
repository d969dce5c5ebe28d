"""What the backend engine is told, and what it answers with.

Those of which there is one a dispatch are records (``nexus.core.record``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from nexus.backend.dispatch_key import DispatchKey
from nexus.core.names import ModelName, SessionName
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import Profile
from nexus.core.record import record
from nexus.core.request import Dispatch, Outcome


@record
class Arrived:
    """A frontend sent a dispatch; its deadline is on this process's clock, its key in use once."""

    key: DispatchKey
    dispatch: Dispatch


@record
class Prepared:
    """The pool has preprocessed the dispatch: it may go to the device."""

    key: DispatchKey


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """The pool could not make samples of the dispatch."""

    key: DispatchKey
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Executed:
    """The batch has left the device; ``error`` is empty when it succeeded.

    Where it was one chunk, ``unfinished`` names the dispatches that are to go on, with the share of
    each that is left, in 0..1. The others are finished.
    """

    batch_id: int
    error: str = ""
    unfinished: Mapping[DispatchKey, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """The plan's part for this backend (None: nothing), and the profiles of the models in it.

    ``fence`` is the publishing leader's; a new leader may have had to count versions anew.
    """

    plan: BackendPlan | None
    version: int
    profiles: Mapping[ModelName, Profile] = field(default_factory=dict)
    fence: int = 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model that ``Load`` asked for is resident. ``session`` is that of the Load.

    ``chunk_us``: it runs by chunks, of about so long (ADR 0028); 0: its batches run as a whole.
    """

    session: SessionName
    chunk_us: int = 0


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model that ``Load`` asked for could not be made resident; it will be tried again."""

    session: SessionName
    message: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The frontend no longer waits for this dispatch."""

    key: DispatchKey


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """Nobody waits for any dispatch of this connection any more."""

    connection: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A frontend wants to hear of every batch started (``on``), or no more; see SayStarted."""

    connection: int
    on: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """Refuse what arrives from now on, finish what is here, then say Drained."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing but the time has changed."""


BackendEvent: TypeAlias = (
    Arrived
    | Prepared
    | PrepareFailed
    | Executed
    | PlanChanged
    | Loaded
    | LoadFailed
    | Cancelled
    | ConnectionLost
    | Watched
    | Drain
    | Tick
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Dispatches to execute together, whole ones, in this order; ``items`` is their sum.

    Of a model that runs by chunks it is one chunk: first those that have begun, then newcomers. It
    ends with the last step of ``ends_with``, if that comes before the end that it would have.

    ``model`` is whose l(b) it takes: the model, or the prefix group (``Placement.group``) whose
    members' dispatches follow each other by model. ``session`` is that of the most urgent one,
    ``shares`` the items of each session.
    """

    id: int
    session: SessionName
    model: ModelName
    keys: tuple[DispatchKey, ...]
    items: int
    shares: Mapping[SessionName, int] = field(default_factory=dict)
    ends_with: DispatchKey | None = None


@record
class Prepare:
    """Preprocess the dispatch in the pool, then tell Prepared or PrepareFailed."""

    key: DispatchKey


@dataclass(frozen=True, slots=True)
class Execute:
    """Run the batch on the device and tell Executed; answer those of it that are finished."""

    batch: Batch


@record
class Reject:
    """Answer the dispatch with this failure, and forget it."""

    key: DispatchKey
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Load:
    """Make the placement's model resident, then tell Loaded or LoadFailed with its session."""

    placement: Placement


@dataclass(frozen=True, slots=True)
class Unload:
    """``session`` was the last to use ``model``: give its memory back."""

    session: SessionName
    model: ModelName


@dataclass(frozen=True, slots=True)
class SayStarted:
    """Tell the watching connections that a batch began (ADR 0020).

    ``items`` of ``session`` and what is batched with it, busy for ``busy_us`` more; of them all
    ``queued_items`` still wait. Of a chunk, ``items`` are those that join with it, and ``busy_us``
    is until its end.
    """

    connections: tuple[int, ...]
    session: SessionName
    items: int
    busy_us: int
    queued_items: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing is waiting or running, and nothing will come: the process may end."""


BackendEffect: TypeAlias = Prepare | Execute | Reject | Load | Unload | SayStarted | Drained
