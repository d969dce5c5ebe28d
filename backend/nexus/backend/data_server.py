"""The internal hop's side of a backend: frames to the driver, outcomes to frames."""

import logging
from itertools import count

from nexus.backend import events
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.driver import EngineDriver
from nexus.core.clock import Clock
from nexus.core.errors import MessageTooLargeError, NexusError
from nexus.core.request import DropReason, Outcome, dropped
from nexus.rpc.connection import Callbacks, FrameConnection, FrameServer, serve_frames
from nexus.rpc.frames import Cancel, Goodbye, Infer, Message, Reply

logger = logging.getLogger(__name__)


class DataServer:
    """Numbers connections, and sends replies back where the dispatches came from.

    ``undelivered`` counts replies whose connection was gone or did not read; nobody waits for
    those, so they are dropped quietly.
    """

    def __init__(self, name: str, driver: EngineDriver, clock: Clock) -> None:
        """Answer as backend ``name``."""
        self.undelivered = 0
        self._name = name
        self._driver = driver
        self._clock = clock
        self._numbers = count(1)
        self._number_of: dict[FrameConnection, int] = {}
        self._connections: dict[int, FrameConnection] = {}
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
        """Send how a dispatch ended to the frontend that waits for it."""
        connection = self._connections.get(key.connection)
        try:
            if connection is not None:
                self._send(connection, key, outcome)
                return
        except NexusError as error:
            logger.debug("reply dropped", extra={"peer": connection, "error": error.message})
        self.undelivered += 1

    async def close(self) -> None:
        """Flush and close every connection."""
        if self._server is not None:
            await self._server.close()

    def _send(self, connection: FrameConnection, key: DispatchKey, outcome: Outcome) -> None:
        try:
            connection.send(Reply(key.dispatch, outcome))
        except MessageTooLargeError as error:
            connection.send(Reply(key.dispatch, dropped(DropReason.ERROR, error.message)))

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
            case _:
                logger.warning(
                    "message ignored", extra={"peer": connection, "kind": type(message).__name__}
                )

    def _on_lost(self, connection: FrameConnection) -> None:
        number = self._number_of.pop(connection)
        del self._connections[number]
        self._driver.connection_lost(number)
