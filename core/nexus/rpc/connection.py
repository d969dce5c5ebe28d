"""Both ends of the internal hop: listen for frontends, or connect to a backend.

::

    server = await serve_frames("127.0.0.1", 0, name="b0", callbacks=Callbacks(on_message=...))
    connection = await connect_frames(server.address, name="f0", callbacks=Callbacks(...))
    connection.send(infer_at(dispatch, tensors, now_us))

The server's side holds back: it reads no more from a frontend that does not read its replies. The
client's side never does; if both did, each could wait for the other for ever.
"""

import asyncio
import logging
from dataclasses import replace
from weakref import WeakSet

from nexus.core.errors import (
    FailedPreconditionError,
    NexusError,
    UnavailableError,
)
from nexus.rpc.address import parse_address
from nexus.rpc.frame_connection import PING_INTERVAL_S, Callbacks, FrameConnection
from nexus.rpc.frames import Message

__all__ = [
    "CONNECTIONS_MAX",
    "Callbacks",
    "FrameConnection",
    "FrameServer",
    "connect_frames",
    "serve_frames",
]

CONNECTIONS_MAX = 1_024
"""Connections of one server; a further one is closed at once."""

CONNECT_S_MAX = 3.0
"""How long connecting and greeting may take."""

logger = logging.getLogger(__name__)


class FrameServer:
    """A listening end. ``address`` is the bound ``HOST:PORT``, ``connections`` who is greeted."""

    def __init__(
        self, name: str, callbacks: Callbacks, connections_max: int, ping_interval_s: float
    ) -> None:
        """Made by ``serve_frames``."""
        self.address = ""
        self.connections: set[FrameConnection] = set()
        self._accepted: WeakSet[FrameConnection] = WeakSet()
        self._name = name
        self._callbacks = callbacks
        self._connections_max = connections_max
        self._ping_interval_s = ping_interval_s
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Bind; raise FailedPreconditionError when the address cannot be listened on."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, host, port)
        except OSError as error:
            raise FailedPreconditionError(
                f"cannot listen on {host}:{port}: {error}", reason="cannot_listen"
            ) from error
        bound = self._server.sockets[0].getsockname()
        self.address = f"{host}:{bound[1]}"

    def broadcast(self, message: Message) -> None:
        """Send to every connection that takes it; one that does not is about to be lost anyway."""
        for connection in tuple(self.connections):
            try:
                connection.send(message)
            except NexusError as error:
                logger.warning("broadcast_skipped peer=%s error=%s", connection, error)

    def stop_listening(self) -> None:
        """Take no new connections; the open ones go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Stop listening, flush and close every connection, and wait until they are closed."""
        self.stop_listening()
        connections = tuple(self.connections)
        for stranger in set(self._accepted).difference(connections):
            stranger.abort()
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.closed() for connection in connections))

    def _accept(self) -> FrameConnection:
        connection = FrameConnection(
            self._name,
            replace(self._callbacks, on_connection=self._greeted, on_lost=self._lost),
            holds_back=True,
            ping_interval_s=self._ping_interval_s,
        )
        self._accepted.add(connection)
        return connection

    def _greeted(self, connection: FrameConnection) -> None:
        if len(self.connections) >= self._connections_max:
            logger.warning("connection_refused peer=%s limit=%d", connection, self._connections_max)
            connection.abort()
            return
        self.connections.add(connection)
        self._callbacks.on_connection(connection)

    def _lost(self, connection: FrameConnection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            self._callbacks.on_lost(connection)


async def serve_frames(
    host: str,
    port: int,
    *,
    name: str,
    callbacks: Callbacks,
    connections_max: int = CONNECTIONS_MAX,
    ping_interval_s: float = PING_INTERVAL_S,
) -> FrameServer:
    """Listen for frontends; port 0 takes a free one.

    Raises:
        FailedPreconditionError: the address cannot be listened on.
    """
    server = FrameServer(name, callbacks, connections_max, ping_interval_s)
    await server.listen(host, port)
    return server


async def connect_frames(
    address: str,
    *,
    name: str,
    callbacks: Callbacks,
    timeout_s: float = CONNECT_S_MAX,
    ping_interval_s: float = PING_INTERVAL_S,
) -> FrameConnection:
    """Connect to the backend at ``HOST:PORT`` and exchange greetings.

    Raises:
        UnavailableError: nobody answers there in time, or the other side closed.
        ProtocolError: what answers is not a Nexus backend of the same protocol version.
    """
    place = parse_address(address)
    loop = asyncio.get_running_loop()
    connection = FrameConnection(name, callbacks, holds_back=False, ping_interval_s=ping_interval_s)
    try:
        async with asyncio.timeout(timeout_s):
            await loop.create_connection(lambda: connection, place.socket_host, place.port)
            await connection.greeted()
    except (OSError, TimeoutError) as error:
        connection.abort()
        reason = f"no answer within {timeout_s:g} s" if isinstance(error, TimeoutError) else error
        raise UnavailableError(f"cannot connect to a backend at {address}: {reason}") from error
    return connection
