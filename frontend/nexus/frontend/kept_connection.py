"""A connection to one server of frames that is kept: made again, with growing pauses, when lost."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from nexus.core.errors import NexusError, UnavailableError
from nexus.rpc.connection import Callbacks, FrameConnection, connect_frames
from nexus.rpc.frames import Message

# A peer silent for ten of these is lost: this is for hosts that vanish, and must not take a loop
# that loads a model for one. A process that was killed is noticed at once, by its socket.
PING_INTERVAL_S = 0.25
RECONNECT_S_MIN = 0.05
RECONNECT_S_MAX = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told what happens; all run on the event loop and must not block."""

    on_found: Callable[[], None]
    on_lost: Callable[[], None]
    on_message: Callable[[Message], None]


class KeptConnection:
    """The connection to ``name``, a backend or a frontend (``kind``), at one address."""

    def __init__(
        self, own_name: str, kind: str, name: str, address: str, listener: Listener
    ) -> None:
        """Begin to connect; greet as ``own_name``."""
        self.name = name
        self.address = address
        self.wanted = True
        self._own_name = own_name
        self._kind = kind
        self._listener = listener
        self._connection: FrameConnection | None = None
        self._keeper = asyncio.create_task(self._keep_connected(), name=f"link-{name}")

    @property
    def connected(self) -> bool:
        """Whether messages can be sent."""
        return self._connection is not None and self._connection.is_open

    @property
    def finished(self) -> bool:
        """Whether it is not wanted any more and will not connect again."""
        return self._keeper.done()

    def send(self, message: Message) -> None:
        """Send; raise UnavailableError, RefusedError or MessageTooLargeError."""
        if self._connection is None:
            raise UnavailableError(f"{self._kind} {self.name!r} is not connected")
        self._connection.send(message)

    def end(self) -> None:
        """Flush what was sent and close; connect no more."""
        self.wanted = False
        if self._connection is not None:
            self._connection.close()
        else:
            self._keeper.cancel()

    def abandon(self) -> None:
        """Cut the connection without a word to anyone."""
        self._keeper.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def close(self) -> None:
        """Flush what was sent, then close; nobody is told."""
        self._keeper.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            await connection.closed()
        await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep_connected(self) -> None:
        pause_s = RECONNECT_S_MIN
        while self.wanted:
            try:
                connection = await self._connect()
            except NexusError as error:
                # The first failure of a series is news, its repetitions are not.
                level = logging.WARNING if pause_s == RECONNECT_S_MIN else logging.DEBUG
                facts = {self._kind: self.name, "address": self.address, "error": error.message}
                _log.log(level, "%s unreachable", self._kind, extra=facts)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_S_MAX)
                continue
            pause_s = RECONNECT_S_MIN
            await connection.closed()

    async def _connect(self) -> FrameConnection:
        callbacks = Callbacks(
            on_message=lambda _, message: self._listener.on_message(message), on_lost=self._lost
        )
        connection = await connect_frames(
            self.address, name=self._own_name, callbacks=callbacks, ping_interval_s=PING_INTERVAL_S
        )
        if connection.peer != self.name:
            connection.abort()
            raise UnavailableError(f"{connection.peer!r} answers there, not {self.name!r}")
        if not connection.is_open:
            raise UnavailableError(f"{self._kind} {self.name!r} closed the connection")
        self._connection = connection
        _log.info("%s found", self._kind, extra={self._kind: self.name, "address": self.address})
        self._listener.on_found()
        return connection

    def _lost(self, connection: FrameConnection) -> None:
        if self._connection is connection:
            self._connection = None
            error = connection.error.message if connection.error else "it closed the connection"
            _log.warning("%s lost", self._kind, extra={self._kind: self.name, "error": error})
            self._listener.on_lost()
