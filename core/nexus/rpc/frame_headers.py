"""Each message of the internal hop as a protobuf header and a payload, and back.

The payload of a frame is the contents of its tensors, one after the other. Sizes that a peer
claims are checked against what is there before anything is sliced or built.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from nexus.core.errors import InvalidArgumentError
from nexus.core.request import Dispatch, Outcome
from nexus.core.tensor import Tensor
from nexus.rpc.convert_results import (
    items_from_pb,
    items_to_pb,
    reason_named,
    region_from_pb,
    region_to_pb,
    status_to_pb,
    tensor_from_header,
    tensor_header,
)
from nexus.rpc.frame_messages import Cancel, Goodbye, Hello, Infer, Message, Ping, Pong, Reply
from nexus.v1 import frames_pb2, results_pb2

ITEMS_MAX = 65_536
"""Items of one dispatch; more is a malformed message."""

Parsed: TypeAlias = Any


class Payload(NamedTuple):
    """The payload of a frame: its size, and a function that takes its next bytes."""

    size: int
    take: Callable[[int], bytes]


Unpack: TypeAlias = Callable[[Parsed, Payload], Message]
"""A parsed header and the frame's payload to a message; raises InvalidArgumentError."""


def infer_header(message: Infer) -> frames_pb2.InferHeader:
    """The header of an Infer."""
    dispatch = message.dispatch
    return frames_pb2.InferHeader(
        dispatch_id=dispatch.id,
        session=dispatch.session,
        budget_us=message.budget_us,
        items=dispatch.items,
        regions=[region_to_pb(region) for region in dispatch.regions],
        tensors=[tensor_header(tensor) for tensor in message.tensors],
    )


def reply_header(message: Reply) -> frames_pb2.ReplyHeader:
    """The header of a Reply."""
    outcome = message.outcome
    return frames_pb2.ReplyHeader(
        dispatch_id=message.dispatch_id,
        status=status_to_pb(outcome),
        tensors=[tensor_header(tensor) for tensor in outcome.tensors],
        items=items_to_pb(outcome.items),
        queue_us=outcome.queue_us,
        execute_us=outcome.execute_us,
        batch=outcome.batch,
    )


def infer_from_header(header: frames_pb2.InferHeader, payload: Payload) -> Infer:
    """An Infer from its header and payload; raise InvalidArgumentError when they disagree."""
    regions = tuple(region_from_pb(region) for region in header.regions)
    if not 1 <= header.items <= ITEMS_MAX:
        raise InvalidArgumentError(f"items {header.items} is not in 1..{ITEMS_MAX}")
    if regions and len(regions) != header.items:
        raise InvalidArgumentError(f"{len(regions)} regions for {header.items} items")
    dispatch = Dispatch(
        id=header.dispatch_id,
        session=header.session,
        deadline_us=header.budget_us,
        items=header.items,
        regions=regions,
    )
    return Infer(dispatch, header.budget_us, _tensors(header.tensors, payload))


def reply_from_header(header: frames_pb2.ReplyHeader, payload: Payload) -> Reply:
    """A Reply from its header and payload; raise InvalidArgumentError when they disagree."""
    status = header.status
    outcome = Outcome(
        reason=reason_named(status.reason),
        message=status.message,
        tensors=_tensors(header.tensors, payload),
        items=items_from_pb(header.items),
        queue_us=header.queue_us,
        execute_us=header.execute_us,
        batch=header.batch,
        retry_after_us=status.retry_after_us,
        expected_wait_us=status.expected_wait_us,
    )
    return Reply(header.dispatch_id, outcome)


def _tensors(headers: Sequence[results_pb2.TensorHeader], payload: Payload) -> tuple[Tensor, ...]:
    claimed = sum(header.content_bytes for header in headers)
    if claimed != payload.size:
        names = ", ".join(repr(header.name) for header in headers) or "no tensors"
        raise InvalidArgumentError(f"{names} of {claimed} bytes in a payload of {payload.size}")
    return tuple(tensor_from_header(h, payload.take(h.content_bytes)) for h in headers)


def _bare(unpack: Callable[[Parsed], Message]) -> Unpack:
    """For messages without a payload."""

    def checked(header: Parsed, payload: Payload) -> Message:
        if payload.size:
            raise InvalidArgumentError(f"a payload of {payload.size} bytes where none belongs")
        return unpack(header)

    return checked


UNPACK: dict[int, tuple[str, Any, Unpack]] = {
    1: ("Hello", frames_pb2.HelloHeader, _bare(lambda h: Hello(h.peer, h.protocol))),
    2: ("Infer", frames_pb2.InferHeader, infer_from_header),
    3: ("Reply", frames_pb2.ReplyHeader, reply_from_header),
    4: ("Cancel", frames_pb2.CancelHeader, _bare(lambda h: Cancel(h.dispatch_id))),
    5: ("Ping", frames_pb2.PingHeader, _bare(lambda h: Ping(h.token))),
    6: ("Pong", frames_pb2.PongHeader, _bare(lambda h: Pong(h.token))),
    7: ("Goodbye", frames_pb2.GoodbyeHeader, _bare(lambda _: Goodbye())),
}
"""Frame kind to its name, the class of its header, and how to make the message of it."""


def pack(message: Message) -> tuple[int, bytes, list[bytes]]:
    """A message as its frame kind, its serialised header, and the parts of its payload."""
    match message:
        case Infer():
            contents = [tensor.content for tensor in message.tensors]
            return 2, infer_header(message).SerializeToString(), contents
        case Reply():
            contents = [tensor.content for tensor in message.outcome.tensors]
            return 3, reply_header(message).SerializeToString(), contents
        case _:
            kind, header = _bare_header(message)
            return kind, header.SerializeToString(), []


def _bare_header(message: Hello | Cancel | Ping | Pong | Goodbye) -> tuple[int, Any]:
    match message:
        case Hello():
            return 1, frames_pb2.HelloHeader(peer=message.peer, protocol=message.protocol)
        case Cancel():
            return 4, frames_pb2.CancelHeader(dispatch_id=message.dispatch_id)
        case Ping():
            return 5, frames_pb2.PingHeader(token=message.token)
        case Pong():
            return 6, frames_pb2.PongHeader(token=message.token)
        case Goodbye():
            return 7, frames_pb2.GoodbyeHeader()
