"""Each message of the internal hop as a protobuf header and a payload, and back.

The payload of a frame is the contents of its tensors, one after the other. Sizes that a peer
claims are checked against what is there before anything is sliced or built.
"""

from collections.abc import Callable, Sequence
from itertools import islice
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
from nexus.rpc.frame_messages import (
    Ask,
    BatchStarted,
    Cancel,
    Goodbye,
    Granted,
    Hello,
    Infer,
    Message,
    Ping,
    Pong,
    Replies,
    Reply,
    Watch,
)
from nexus.v1 import frames_pb2, results_pb2

ITEMS_MAX = 65_536
"""Items of one dispatch or ask; more is a malformed message."""

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


def ask_header(message: Ask) -> frames_pb2.AskHeader:
    """The header of an Ask."""
    return frames_pb2.AskHeader(
        ask_id=message.ask_id,
        session=message.session,
        items=message.items,
        budget_us=message.budget_us,
    )


def granted_header(message: Granted) -> frames_pb2.GrantedHeader:
    """The header of a Granted."""
    refusal = None if message.refusal is None else status_to_pb(message.refusal)
    return frames_pb2.GrantedHeader(ask_id=message.ask_id, backend=message.backend, refusal=refusal)


def batch_started_header(message: BatchStarted) -> frames_pb2.BatchStartedHeader:
    """The header of a BatchStarted."""
    return frames_pb2.BatchStartedHeader(
        session=message.session,
        items=message.items,
        busy_us=message.busy_us,
        queued_items=message.queued_items,
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
    return _reply(header, _tensors(header.tensors, payload))


def replies_from_header(header: frames_pb2.RepliesHeader, payload: Payload) -> Replies:
    """Replies from their header and payload; raise InvalidArgumentError when they disagree."""
    tensors = iter(_tensors([t for reply in header.replies for t in reply.tensors], payload))
    return Replies(
        tuple(_reply(reply, tuple(islice(tensors, len(reply.tensors)))) for reply in header.replies)
    )


def ask_from_header(header: frames_pb2.AskHeader) -> Ask:
    """An Ask from its header; raise InvalidArgumentError when it asks for no or too many items."""
    if not 1 <= header.items <= ITEMS_MAX:
        raise InvalidArgumentError(f"items {header.items} is not in 1..{ITEMS_MAX}")
    return Ask(header.ask_id, header.session, header.items, header.budget_us)


def granted_from_header(header: frames_pb2.GrantedHeader) -> Granted:
    """A Granted from its header; raise InvalidArgumentError when it neither grants nor refuses."""
    if not header.HasField("refusal"):
        if not header.backend:
            raise InvalidArgumentError("it names neither a backend nor a refusal")
        return Granted(header.ask_id, header.backend)
    status = header.refusal
    reason = reason_named(status.reason)
    if reason is None:
        raise InvalidArgumentError("the refusal has no reason")
    refusal = Outcome(
        reason=reason,
        message=status.message,
        retry_after_us=status.retry_after_us,
        expected_wait_us=status.expected_wait_us,
    )
    return Granted(header.ask_id, header.backend, refusal)


def _reply(header: frames_pb2.ReplyHeader, tensors: tuple[Tensor, ...]) -> Reply:
    status = header.status
    outcome = Outcome(
        reason=reason_named(status.reason),
        message=status.message,
        tensors=tensors,
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
    8: ("Replies", frames_pb2.RepliesHeader, replies_from_header),
    9: ("Ask", frames_pb2.AskHeader, _bare(ask_from_header)),
    10: ("Granted", frames_pb2.GrantedHeader, _bare(granted_from_header)),
    11: ("Watch", frames_pb2.WatchHeader, _bare(lambda h: Watch(h.on))),
    12: (
        "BatchStarted",
        frames_pb2.BatchStartedHeader,
        _bare(lambda h: BatchStarted(h.session, h.items, h.busy_us, h.queued_items)),
    ),
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
        case Replies(replies):
            several = frames_pb2.RepliesHeader(replies=[reply_header(reply) for reply in replies])
            contents = [t.content for reply in replies for t in reply.outcome.tensors]
            return 8, several.SerializeToString(), contents
        case _:
            kind, header_of = _BARE[type(message)]
            return kind, header_of(message).SerializeToString(), []


_BARE: dict[type[Message], tuple[int, Callable[[Any], Any]]] = {
    Hello: (1, lambda m: frames_pb2.HelloHeader(peer=m.peer, protocol=m.protocol)),
    Cancel: (4, lambda m: frames_pb2.CancelHeader(dispatch_id=m.dispatch_id)),
    Ping: (5, lambda m: frames_pb2.PingHeader(token=m.token)),
    Pong: (6, lambda m: frames_pb2.PongHeader(token=m.token)),
    Goodbye: (7, lambda _: frames_pb2.GoodbyeHeader()),
    Ask: (9, ask_header),
    Granted: (10, granted_header),
    Watch: (11, lambda m: frames_pb2.WatchHeader(on=m.on)),
    BatchStarted: (12, batch_started_header),
}
"""The messages without a payload: their kind, and how to make their header."""
