"""The internal hop's side of a backend: frames to the driver, outcomes to frames.

A connection may watch: it then hears of every batch that starts (ADR 0020).
"""

import logging
from itertools import count

from nexus.backend import events
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.driver import EngineDriver
from nexus.backend.reply_outbox import ReplyOutbox
from nexus.core.clock import Clock
from nexus.core.errors import NexusError
from nexus.core.request import Outcome
from nexus.rpc.connection import Callbacks, FrameConnection, FrameServer, serve_frames
from nexus.rpc.frames import BatchStarted, Cancel, Goodbye, Infer, Message, Reply, Watch

logger = logging.getLogger(__name__)


class DataServer:
    """Numbers connections, and sends replies back where the dispatches came from."""

    def __init__(self, name: str, driver: EngineDriver, clock: Clock) -> None:
        """Answer as backend ``name``."""
        self._name = name
        self._driver = driver
        self._clock = clock
        self._numbers = count(1)
        self._number_of: dict[FrameConnection, int] = {}
        self._connections: dict[int, FrameConnection] = {}
        self._outbox = ReplyOutbox()
        self._server: FrameServer | None = None
        self._draining = False

    @property
    def address(self) -> str:
        """The bound ``HOST:PORT``, once started."""
        return self._server.address if self._server else ""

    async def start(self, host: str, port: int) -> None:
        """Listen; raise FailedPreconditionError when the address is taken."""
        callbacks = Callbacks(
            on_message=self._on_message, on_connection=self._on_connection, on_lost=self._on_lost
        )
        self._server = await serve_frames(host, port, name=self._name, callbacks=callbacks)

    def say_goodbye(self) -> None:
        """Tell every frontend, and those that still come, to send no more."""
        self._draining = True
        if self._server is not None:
            self._server.broadcast(Goodbye())

    def reply(self, key: DispatchKey, outcome: Outcome) -> None:
        """Send how a dispatch ended to the frontend that waits for it, if it is still there."""
        connection = self._connections.get(key.connection)
        if connection is not None:
            self._outbox.add(connection, Reply(key.dispatch, outcome))

    def say_started(self, effect: events.SayStarted) -> None:
        """Tell the watching frontends that a batch began."""
        message = BatchStarted(effect.session, effect.items, effect.busy_us, effect.queued_items)
        for number in effect.connections:
            try:
                self._connections[number].send(message)
            except NexusError as error:  # It is about to be lost.
                logger.debug("start not told", extra={"number": number, "error": error.message})

    async def close(self) -> None:
        """Flush and close every connection."""
        self._outbox.flush()
        if self._server is not None:
            await self._server.close()

    def _on_connection(self, connection: FrameConnection) -> None:
        number = next(self._numbers)
        self._number_of[connection] = number
        self._connections[number] = connection
        if self._draining:
            connection.send(Goodbye())

    def _on_message(self, connection: FrameConnection, message: Message) -> None:
        number = self._number_of[connection]
        match message:
            case Infer():
                dispatch = message.received(self._clock.now_us())
                self._driver.arrived(DispatchKey(number, dispatch.id), dispatch, message.tensors)
            case Cancel(dispatch_id):
                self._driver.tell(events.Cancelled(DispatchKey(number, dispatch_id)))
            case Watch(on):
                self._driver.tell(events.Watched(number, on))
            case _:
                logger.warning(
                    "message ignored", extra={"peer": connection, "kind": type(message).__name__}
                )

    def _on_lost(self, connection: FrameConnection) -> None:
        number = self._number_of.pop(connection)
        del self._connections[number]
        self._driver.connection_lost(number)
