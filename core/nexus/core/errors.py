"""Every error of the system: one tree, each with a gRPC status and a machine-readable reason.

    NexusError
    ├── InvalidArgumentError      INVALID_ARGUMENT    the caller's request is malformed
    │   └── DocumentError         INVALID_ARGUMENT    a file or resource is malformed; says where
    ├── NotFoundError             NOT_FOUND           a model, session, query or file does not exist
    ├── AlreadyExistsError        ALREADY_EXISTS      a name is taken by something different
    ├── FailedPreconditionError   FAILED_PRECONDITION the system is not in the state the call needs
    │   ├── InfeasibleError       FAILED_PRECONDITION a plan or an SLO cannot be met, and why
    │   └── FencedError           FAILED_PRECONDITION a newer leader holds the lease
    ├── RefusedError              RESOURCE_EXHAUSTED  refused by admission: which limit; retry when
    │   └── MessageTooLargeError  RESOURCE_EXHAUSTED  one message is too large; never retry
    ├── DeadlineError             DEADLINE_EXCEEDED   cannot be, or was not, answered in time
    ├── UnavailableError          UNAVAILABLE         a peer is away or starting; retrying is safe
    ├── CallCancelledError        CANCELLED           the caller gave the call up
    ├── UnimplementedError        UNIMPLEMENTED       the peer does not know this call
    └── InternalError             INTERNAL            a defect: a model raised, an invariant broke

Engines return outcomes and raise none of these for operating conditions; shells translate at the
edge. ``details`` travels as trailing metadata, so values are short printable strings.
"""

from collections.abc import Mapping
from enum import Enum


class StatusCode(Enum):
    """The gRPC status codes in use, with their wire numbers (core must not import grpc)."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class NexusError(Exception):
    """Base of all operating errors: what happened, to what, and what to do."""

    code = StatusCode.INTERNAL
    default_reason = "internal"

    def __init__(
        self, message: str, *, reason: str = "", details: Mapping[str, str] | None = None
    ) -> None:
        """``reason`` is a stable snake_case word a program may switch on."""
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.details: dict[str, str] = dict(details or {})


class InvalidArgumentError(NexusError):
    """The caller's request is malformed; sending it again will fail again."""

    code = StatusCode.INVALID_ARGUMENT
    default_reason = "invalid_argument"


class DocumentError(InvalidArgumentError):
    """A YAML/JSON document does not say what it must; the message names file and key."""

    default_reason = "malformed_document"


class NotFoundError(NexusError):
    """Something named in the request does not exist."""

    code = StatusCode.NOT_FOUND
    default_reason = "not_found"


class AlreadyExistsError(NexusError):
    """The name is taken by something that differs."""

    code = StatusCode.ALREADY_EXISTS
    default_reason = "already_exists"


class FailedPreconditionError(NexusError):
    """The system is not in the state this call needs."""

    code = StatusCode.FAILED_PRECONDITION
    default_reason = "failed_precondition"


class InfeasibleError(FailedPreconditionError):
    """No plan can meet what is asked, whatever the number of devices."""

    default_reason = "infeasible"


class FencedError(FailedPreconditionError):
    """The writer's lease is older than one that has written already."""

    default_reason = "fenced"


class RefusedError(NexusError):
    """Admission refused the request at once rather than let it be late."""

    code = StatusCode.RESOURCE_EXHAUSTED
    default_reason = "overloaded"


class MessageTooLargeError(RefusedError):
    """One message is larger than the limit; it will never fit."""

    default_reason = "message_too_large"


class DeadlineError(NexusError):
    """The deadline passed, or passing it became certain."""

    code = StatusCode.DEADLINE_EXCEEDED
    default_reason = "deadline"


class UnavailableError(NexusError):
    """A peer is away or not ready yet; the same call may succeed later."""

    code = StatusCode.UNAVAILABLE
    default_reason = "unavailable"


class CallCancelledError(NexusError):
    """The caller gave the call up before it was answered."""

    code = StatusCode.CANCELLED
    default_reason = "cancelled"


class UnimplementedError(NexusError):
    """The peer does not know this call: an older version, or another service."""

    code = StatusCode.UNIMPLEMENTED
    default_reason = "unimplemented"


class InternalError(NexusError):
    """A defect on our side."""
