"""Errors to gRPC status and back; what gRPC itself says is told from what Nexus says."""

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core import errors
from nexus.core.errors import NexusError, StatusCode
from nexus.core.request import DropReason, Outcome, dropped
from nexus.rpc import status
from nexus.rpc.status import error_from_outcome, error_from_rpc, trailing_metadata
from tests.strategies import words

CLASSES = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, NexusError) and cls is not NexusError
]


def received(error: NexusError) -> NexusError:
    """The error as a client has it."""
    return error_from_rpc(
        grpc.aio.AioRpcError(
            status.grpc_code(error.code),
            trailing_metadata=grpc.aio.Metadata(*trailing_metadata(error)),
            details=error.message,
        )
    )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_arrives_as_its_own_class(cls: type[NexusError]) -> None:
    sent = cls("model 'm' is away", details={"retry_after_ms": "12.5"})
    got = received(sent)
    assert type(got) is cls
    assert (got.message, got.reason, got.details) == (sent.message, sent.reason, sent.details)


@given(reason=words.filter(bool), value=words)
def test_reason_and_details_survive_whatever_they_hold(reason: str, value: str) -> None:
    sent = errors.InvalidArgumentError("no", reason=reason, details={"tensor": value})
    for _, encoded in trailing_metadata(sent):
        assert encoded.isascii()
        assert encoded == "" or encoded.isprintable()
    got = received(sent)
    assert (got.reason, got.details) == (reason, {"tensor": value})


@given(value=st.text(st.characters(codec="utf-8"), min_size=100, max_size=2_000))
def test_long_details_are_cut_and_stay_readable(value: str) -> None:
    sent = errors.InternalError("no", details={"x": value})
    ((_, _), (_, encoded)) = trailing_metadata(sent)
    assert len(encoded) <= status.DETAIL_BYTES_MAX
    assert value.startswith(received(sent).details["x"])


def test_trailing_metadata_has_the_promised_names() -> None:
    outcome = Outcome(
        reason=DropReason.OVERLOADED,
        message="busy",
        expected_wait_us=80_000,
        retry_after_us=12_500,
    )
    assert trailing_metadata(error_from_outcome(outcome)) == (
        (status.METADATA_REASON, "overloaded"),
        (status.METADATA_EXPECTED_WAIT_MS, "80"),
        (status.METADATA_RETRY_AFTER_MS, "12.5"),
    )


@pytest.mark.parametrize("reason", DropReason)
def test_every_drop_becomes_an_error_of_its_status(reason: DropReason) -> None:
    error = error_from_outcome(dropped(reason, "why"))
    assert (error.code, error.reason, error.message) == (reason.status, reason.value, "why")


def test_drop_by_load_is_never_unavailable() -> None:
    by_load = {DropReason.OVERLOADED, DropReason.QUEUE_FULL, DropReason.DEADLINE, DropReason.LATE}
    codes = {error_from_outcome(dropped(reason)).code for reason in by_load}
    assert codes == {StatusCode.RESOURCE_EXHAUSTED, StatusCode.DEADLINE_EXCEEDED}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not code.OK])
def test_status_of_grpc_itself_becomes_an_error(code: grpc.StatusCode) -> None:
    got = error_from_rpc(grpc.aio.AioRpcError(code, details="said grpc"))
    assert got.message == "said grpc"
    known = {known.value for known in StatusCode}
    expected = StatusCode(code.value[0]) if code.value[0] in known else StatusCode.INTERNAL
    assert got.code is expected


def test_resource_exhausted_without_our_metadata_is_a_message_too_large() -> None:
    got = error_from_rpc(
        grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, details="larger than max")
    )
    assert type(got) is errors.MessageTooLargeError
