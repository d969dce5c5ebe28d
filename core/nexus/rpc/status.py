"""Errors as gRPC status with trailing metadata, and back.

A NexusError becomes its status code, its message, ``nexus-reason`` and one ``nexus-KEY`` entry for
each of its details: ``expected_wait_ms`` travels as ``nexus-expected-wait-ms``. On the way back the
reason picks the class. A status without ``nexus-reason`` was not made by Nexus but by gRPC itself
or a proxy: RESOURCE_EXHAUSTED then means "message larger than max" and not overload.
"""

import re
from collections.abc import Iterable
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import grpc
import grpc.aio

from nexus.core.errors import (
    AlreadyExistsError,
    CallCancelledError,
    DeadlineError,
    DocumentError,
    FailedPreconditionError,
    FencedError,
    InfeasibleError,
    InternalError,
    InvalidArgumentError,
    MessageTooLargeError,
    NexusError,
    NotFoundError,
    RefusedError,
    StatusCode,
    UnavailableError,
    UnimplementedError,
)
from nexus.core.request import Outcome
from nexus.core.units import ms_from_us

METADATA_PREFIX = "nexus-"
METADATA_REASON = "nexus-reason"
METADATA_EXPECTED_WAIT_MS = "nexus-expected-wait-ms"
METADATA_RETRY_AFTER_MS = "nexus-retry-after-ms"

MESSAGE_BYTES_MAX = 3_072
"""A status message as it is encoded: all headers of an answer together may take 8 KiB."""

DETAIL_BYTES_MAX = 256
"""The reason or one detail as it is encoded, for the same reason."""

DETAILS_MAX = 8

_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
"""What a metadata value may hold as it is; anything else, and '%', is percent-encoded."""

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}

_BY_CODE: dict[StatusCode, type[NexusError]] = {
    StatusCode.CANCELLED: CallCancelledError,
    StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    StatusCode.DEADLINE_EXCEEDED: DeadlineError,
    StatusCode.NOT_FOUND: NotFoundError,
    StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    StatusCode.RESOURCE_EXHAUSTED: RefusedError,
    StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    StatusCode.UNIMPLEMENTED: UnimplementedError,
    StatusCode.INTERNAL: InternalError,
    StatusCode.UNAVAILABLE: UnavailableError,
}

_BY_REASON: dict[tuple[StatusCode, str], type[NexusError]] = {
    (cls.code, cls.default_reason): cls
    for cls in (DocumentError, InfeasibleError, FencedError, MessageTooLargeError)
}


def grpc_code(code: StatusCode) -> grpc.StatusCode:
    """Our status code as grpc's."""
    return _GRPC_CODES[code.value]


def trailing_metadata(error: NexusError) -> tuple[tuple[str, str], ...]:
    """What a program needs to know about an error, beside code and message."""
    details = list(error.details.items())[:DETAILS_MAX]
    return (
        (METADATA_REASON, _metadata_value(error.reason)),
        *((_metadata_key(key), _metadata_value(value)) for key, value in details),
    )


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: NexusError) -> NoReturn:
    """End a call with an error's status; what it raises must be let through."""
    message = unquote(_encoded(error.message, MESSAGE_BYTES_MAX), errors="ignore")
    await context.abort(grpc_code(error.code), message, trailing_metadata(error))
    raise AssertionError("abort raises")


def error_from_outcome(outcome: Outcome) -> NexusError:
    """The error of an outcome that is not ok, with its waits as details."""
    assert outcome.reason is not None, outcome
    details = {}
    if outcome.expected_wait_us:
        details["expected_wait_ms"] = f"{ms_from_us(outcome.expected_wait_us):g}"
    if outcome.retry_after_us:
        details["retry_after_ms"] = f"{ms_from_us(outcome.retry_after_us):g}"
    cls = _error_class(outcome.reason.status, outcome.reason.value)
    return cls(
        outcome.message or outcome.reason.value, reason=outcome.reason.value, details=details
    )


def error_from_rpc(error: grpc.RpcError) -> NexusError:
    """The error that a failed call means, for sync and aio clients alike."""
    call: Any = error
    metadata = dict(_text_entries(call.trailing_metadata() or ()))
    code = _status_code(call.code())
    message = call.details() or code.name
    reason = metadata.pop(METADATA_REASON, "")
    if not reason:
        return _foreign_error(code, message)
    details = {
        key.removeprefix(METADATA_PREFIX).replace("-", "_"): value
        for key, value in metadata.items()
        if key.startswith(METADATA_PREFIX)
    }
    return _error_class(code, reason)(message, reason=reason, details=details)


def error_from_status(code: grpc.StatusCode, message: str) -> NexusError:
    """The error of a bare status, as health checks and streams give it."""
    return _foreign_error(_status_code(code), message)


def _foreign_error(code: StatusCode, message: str) -> NexusError:
    if code is StatusCode.RESOURCE_EXHAUSTED:
        return MessageTooLargeError(message)
    return _BY_CODE[code](message)


def _error_class(code: StatusCode, reason: str) -> type[NexusError]:
    return _BY_REASON.get((code, reason), _BY_CODE[code])


def _status_code(code: grpc.StatusCode) -> StatusCode:
    """Codes that Nexus does not use (UNKNOWN, DATA_LOSS, ...) count as INTERNAL."""
    try:
        found = StatusCode(code.value[0])
    except ValueError:
        return StatusCode.INTERNAL
    return StatusCode.INTERNAL if found is StatusCode.OK else found


def _text_entries(metadata: Iterable[tuple[str, str | bytes]]) -> Iterable[tuple[str, str]]:
    for key, value in metadata:
        if isinstance(value, str):
            yield key, unquote(value, errors="ignore")


def _metadata_key(key: str) -> str:
    return METADATA_PREFIX + key.lower().replace("_", "-")


def _metadata_value(value: str) -> str:
    return _encoded(value, DETAIL_BYTES_MAX)


def _encoded(text: str, bytes_max: int) -> str:
    """Percent-encoded, and cut to ``bytes_max`` without cutting an escape in two."""
    cut = quote(text[:bytes_max], safe=_PRINTABLE)[:bytes_max]
    return re.sub("%[0-9A-F]?$", "", cut)
