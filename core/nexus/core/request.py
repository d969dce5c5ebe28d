"""Requests, dispatches and their outcomes.

A *request* is what a client asked a frontend: one session, or one query. A *dispatch* is one
message from a frontend to a backend: one or more items of one session (the crops of one frame
travel together, with the frame once). Every request ends in exactly one Outcome.
"""

from dataclasses import dataclass
from enum import Enum

from nexus.core.errors import StatusCode
from nexus.core.finding import Finding, Region
from nexus.core.names import ModelName, SessionName
from nexus.core.record import record
from nexus.core.tensor import Tensor


class DropReason(Enum):
    """Why a request was refused or given up; a metric label and a trailing-metadata value."""

    OVERLOADED = "overloaded"
    """Admission: the expected wait exceeds the time left."""
    QUEUE_FULL = "queue_full"
    """A bounded queue is at its limit."""
    DEADLINE = "deadline"
    """It can no longer be in time: dropped before any work was wasted on it."""
    LATE = "late"
    """It was finished after its deadline; the answer is discarded."""
    NO_ROUTE = "no_route"
    """The session has no backend now (starting, or all lost)."""
    INFEASIBLE = "infeasible"
    """The plan says that this SLO cannot be met by any batch size."""
    BACKEND_LOST = "backend_lost"
    """The backend died with the request, and no time or try was left to repeat it."""
    UPSTREAM = "upstream"
    """An earlier or sibling stage of the same query failed."""
    CANCELLED = "cancelled"
    """The caller went away."""
    DRAINING = "draining"
    """The server is shutting down."""
    ERROR = "error"
    """The model or the server failed; the message says how."""
    INVALID = "invalid"
    """The input is malformed (a corrupt JPEG, an empty crop)."""

    @property
    def status(self) -> StatusCode:
        """The gRPC status of this outcome; never UNAVAILABLE for a drop by load (retry storms)."""
        return _STATUS[self]


_STATUS = {
    DropReason.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    DropReason.QUEUE_FULL: StatusCode.RESOURCE_EXHAUSTED,
    DropReason.DEADLINE: StatusCode.DEADLINE_EXCEEDED,
    DropReason.LATE: StatusCode.DEADLINE_EXCEEDED,
    DropReason.NO_ROUTE: StatusCode.UNAVAILABLE,
    DropReason.INFEASIBLE: StatusCode.FAILED_PRECONDITION,
    DropReason.BACKEND_LOST: StatusCode.UNAVAILABLE,
    DropReason.UPSTREAM: StatusCode.DEADLINE_EXCEEDED,
    DropReason.CANCELLED: StatusCode.CANCELLED,
    DropReason.DRAINING: StatusCode.UNAVAILABLE,
    DropReason.ERROR: StatusCode.INTERNAL,
    DropReason.INVALID: StatusCode.INVALID_ARGUMENT,
}


@record
class Dispatch:
    """One or more items of one session on their way to a backend; metadata only, no payload.

    ``id`` is unique within the sending frontend. ``deadline_us`` is absolute on the clock of the
    process that holds the object: the wire carries the time left (ADR 0005). ``regions`` are the
    crops to take from the frame, one an item, in order; empty means the payload as it is.
    """

    id: int
    session: SessionName
    deadline_us: int
    items: int = 1
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What one item gave."""

    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a dispatch or a request ended: ``reason`` None is success.

    ``tensors`` are batched over the items; ``items`` has one entry an item for models with
    findings. The times are parts of the whole, for clients and metrics: waiting in the backend's
    queue and executing on the device (``batch`` items together). ``served_by`` is the cheaper
    variant that answered in the place of the session's model; empty: its own did.
    """

    reason: DropReason | None = None
    message: str = ""
    tensors: tuple[Tensor, ...] = ()
    items: tuple[ItemResult, ...] = ()
    queue_us: int = 0
    execute_us: int = 0
    batch: int = 0
    retry_after_us: int = 0
    expected_wait_us: int = 0
    served_by: ModelName = ""

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.reason is None


def dropped(reason: DropReason, message: str = "", *, retry_after_us: int = 0) -> Outcome:
    """An outcome without a result."""
    return Outcome(reason=reason, message=message or reason.value, retry_after_us=retry_after_us)
