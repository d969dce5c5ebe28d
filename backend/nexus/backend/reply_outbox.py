"""Replies on their way out: those that are ready together leave each connection in one write.

The dispatches of a batch are answered within one pass of the event loop, and mostly belong to few
frontends: one frame a connection costs both sides a fraction of one frame a dispatch.
"""

import asyncio
import logging
from collections.abc import Sequence

from nexus.core.errors import MessageTooLargeError, NexusError
from nexus.core.request import DropReason, dropped
from nexus.rpc.connection import FrameConnection
from nexus.rpc.frames import Replies, Reply

TOGETHER_BYTES_MAX = 256 * 1024
"""Tensor bytes of replies that share a frame: beyond it, copying costs more than frames do."""

logger = logging.getLogger(__name__)


class ReplyOutbox:
    """Holds replies until the event loop's next pass.

    Nobody waits for those whose connection is gone or does not read: they are dropped quietly.
    """

    def __init__(self) -> None:
        """Start empty; to be made on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[FrameConnection, list[Reply]] = {}

    def add(self, connection: FrameConnection, reply: Reply) -> None:
        """Send it soon."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.setdefault(connection, []).append(reply)

    def flush(self) -> None:
        """Send everything now."""
        waiting, self._waiting = self._waiting, {}
        for connection, replies in waiting.items():
            for together in _frames(replies):
                self._send(connection, together)

    def _send(self, connection: FrameConnection, replies: Sequence[Reply]) -> None:
        try:
            connection.send(Replies(tuple(replies)) if len(replies) > 1 else replies[0])
        except MessageTooLargeError as error:
            (reply,) = replies  # Those that share a frame are far below its limit.
            failed = dropped(DropReason.ERROR, error.message)
            self._send(connection, [Reply(reply.dispatch_id, failed)])
        except NexusError as error:
            logger.debug("reply dropped", extra={"peer": connection, "error": error.message})


def _frames(replies: Sequence[Reply]) -> list[list[Reply]]:
    """The replies in runs that share a frame."""
    frames: list[list[Reply]] = []
    free_bytes = 0
    for reply in replies:
        size = sum(len(tensor.content) for tensor in reply.outcome.tensors)
        if not frames or size > free_bytes:
            frames.append([])
            free_bytes = TOGETHER_BYTES_MAX
        frames[-1].append(reply)
        free_bytes -= size
    return frames
