"""Replies that are ready together leave in one frame, unless they are large."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import pytest

from nexus.backend.reply_outbox import TOGETHER_BYTES_MAX, ReplyOutbox
from nexus.core.errors import MessageTooLargeError, UnavailableError
from nexus.core.request import DropReason, Outcome
from nexus.core.tensor import DataType, Tensor
from nexus.rpc.connection import FrameConnection
from nexus.rpc.frames import Message, Replies, Reply


@dataclass(eq=False)
class RecordingConnection:
    """Keeps what is sent; ``limit`` is the largest tensor it takes, None: it is closed."""

    limit: int | None = 10**9
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        """Keep or refuse it, as a FrameConnection does."""
        if self.limit is None:
            raise UnavailableError("the connection is closed")
        if isinstance(message, Reply):
            for tensor in message.outcome.tensors:
                if len(tensor.content) > self.limit:
                    raise MessageTooLargeError("does not fit a frame")
        self.sent.append(message)

    @property
    def frame(self) -> FrameConnection:
        """Itself, as the outbox's type."""
        return cast("FrameConnection", self)


def reply(number: int, size: int = 4) -> Reply:
    tensor = Tensor("scores", DataType.UINT8, (size,), bytes(size))
    return Reply(number, Outcome(tensors=(tensor,)))


@pytest.fixture
async def outbox() -> ReplyOutbox:
    return ReplyOutbox()


async def test_outbox_joins_what_is_ready_in_one_pass(outbox: ReplyOutbox) -> None:
    one, other = RecordingConnection(), RecordingConnection()
    for number in range(3):
        outbox.add(one.frame, reply(number))
    outbox.add(other.frame, reply(9))
    assert one.sent == []
    await asyncio.sleep(0)
    assert one.sent == [Replies((reply(0), reply(1), reply(2)))]
    assert other.sent == [reply(9)]
    outbox.add(one.frame, reply(3))
    await asyncio.sleep(0)
    assert one.sent[1:] == [reply(3)]


async def test_outbox_sends_large_replies_apart(outbox: ReplyOutbox) -> None:
    connection = RecordingConnection()
    half = TOGETHER_BYTES_MAX // 2
    replies = [reply(0, half), reply(1, half), reply(2), reply(3, 10 * half), reply(4)]
    for one in replies:
        outbox.add(connection.frame, one)
    outbox.flush()
    assert connection.sent == [Replies(tuple(replies[:2])), replies[2], replies[3], replies[4]]


async def test_outbox_says_that_a_reply_is_too_large(outbox: ReplyOutbox) -> None:
    connection = RecordingConnection(limit=TOGETHER_BYTES_MAX)
    outbox.add(connection.frame, reply(1, TOGETHER_BYTES_MAX + 1))
    outbox.flush()
    (sent,) = connection.sent
    assert isinstance(sent, Reply)
    assert (sent.dispatch_id, sent.outcome.reason) == (1, DropReason.ERROR)


async def test_outbox_drops_what_nobody_waits_for(outbox: ReplyOutbox) -> None:
    gone, there = RecordingConnection(limit=None), RecordingConnection()
    outbox.add(gone.frame, reply(1))
    outbox.add(there.frame, reply(2))
    outbox.flush()
    assert there.sent == [reply(2)]
