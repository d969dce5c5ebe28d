"""Where other frontends ask this one, the owner of their sessions' pools (ADR 0020)."""

import logging
from collections.abc import Callable

from nexus.core.clock import Clock
from nexus.core.errors import NexusError
from nexus.core.names import FrontendName
from nexus.frontend import events
from nexus.rpc.connection import Callbacks, FrameConnection, FrameServer, serve_frames
from nexus.rpc.frames import Ask, Granted, Message

_log = logging.getLogger(__name__)


class PeerServer:
    """Hands asks to the engine, and its answers back to who asked."""

    def __init__(
        self, own_name: FrontendName, clock: Clock, tell: Callable[[events.Event], None]
    ) -> None:
        """``tell`` gets Asked, with the deadline on this process's clock."""
        self._own_name = own_name
        self._clock = clock
        self._tell = tell
        self._server: FrameServer | None = None
        self._connections: dict[FrontendName, FrameConnection] = {}

    @property
    def address(self) -> str:
        """The bound ``HOST:PORT``; empty before it listens."""
        return self._server.address if self._server is not None else ""

    async def start(self, host: str, port: int) -> None:
        """Listen; raise FailedPreconditionError when the address is taken."""
        callbacks = Callbacks(
            on_message=self._received, on_connection=self._connected, on_lost=self._lost
        )
        self._server = await serve_frames(host, port, name=self._own_name, callbacks=callbacks)

    def answer(self, peer: FrontendName, message: Granted) -> None:
        """Answer an ask; one that cannot be answered has a time limit at its frontend."""
        connection = self._connections.get(peer)
        try:
            if connection is not None:
                connection.send(message)
        except NexusError as error:
            _log.debug("ask not answered", extra={"frontend": peer, "error": error.message})

    async def close(self) -> None:
        """Close every connection: the peers choose other owners at once."""
        if self._server is not None:
            await self._server.close()

    def _connected(self, connection: FrameConnection) -> None:
        self._connections[connection.peer] = connection

    def _lost(self, connection: FrameConnection) -> None:
        if self._connections.get(connection.peer) is connection:
            del self._connections[connection.peer]

    def _received(self, connection: FrameConnection, message: Message) -> None:
        if isinstance(message, Ask):
            deadline_us = self._clock.now_us() + message.budget_us
            self._tell(
                events.Asked(
                    connection.peer, message.ask_id, message.session, message.items, deadline_us
                )
            )
