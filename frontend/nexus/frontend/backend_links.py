"""One long-lived connection to every backend of the routing table (ADR 0007).

A link connects as long as its backend is routed, with growing pauses; once withdrawn it stays until
the last reply has come, and is closed then. What happens on links is told as engine events.
"""

import asyncio
import logging
from collections.abc import Callable

from nexus.core.errors import NexusError, UnavailableError
from nexus.core.names import BackendName
from nexus.core.routing import RoutingTable
from nexus.frontend import events
from nexus.frontend.limits import CONNECTIONS_MAX
from nexus.rpc.connection import Callbacks, FrameConnection, connect_frames
from nexus.rpc.frames import Cancel, Goodbye, Infer, Message, Replies, Reply

# A peer silent for ten of these is lost: this is for hosts that vanish, and must not take a loop
# that loads a model for one. A process that was killed is noticed at once, by its socket.
PING_INTERVAL_S = 0.25
RECONNECT_S_MIN = 0.05
RECONNECT_S_MAX = 1.0

_log = logging.getLogger(__name__)


class BackendLink:
    """The connection to one backend at one address."""

    def __init__(
        self,
        own_name: str,
        backend: BackendName,
        address: str,
        tell: Callable[[events.Event], None],
    ) -> None:
        """Begin to connect; ``tell`` is called with what happens."""
        self.backend = backend
        self.address = address
        self._own_name = own_name
        self._tell = tell
        self._connection: FrameConnection | None = None
        self._unanswered = 0
        self._withdrawn = False
        self._keeper = asyncio.create_task(self._keep_connected(), name=f"link-{backend}")

    @property
    def connected(self) -> bool:
        """Whether dispatches can be sent."""
        return self._connection is not None and self._connection.is_open

    def send(self, message: Infer | Cancel) -> None:
        """Send to the backend; raise UnavailableError, RefusedError or MessageTooLargeError."""
        if self._connection is None:
            raise UnavailableError(f"backend {self.backend!r} is not connected")
        self._connection.send(message)
        if isinstance(message, Infer):
            self._unanswered += 1

    def withdraw(self) -> None:
        """The table names the backend no more: close as soon as nothing is unanswered."""
        self._withdrawn = True
        self._close_when_idle()

    def restore(self) -> None:
        """The table names the backend again before the link was closed."""
        self._withdrawn = False

    def abandon(self) -> None:
        """Cut the connection without a word to anyone."""
        self._keeper.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def close(self) -> None:
        """Flush what was sent (cancels), then close."""
        self._keeper.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            await connection.closed()
        await asyncio.gather(self._keeper, return_exceptions=True)

    @property
    def finished(self) -> bool:
        """Whether it was withdrawn and will not connect again."""
        return self._keeper.done()

    async def _keep_connected(self) -> None:
        pause_s = RECONNECT_S_MIN
        while not self._withdrawn:
            try:
                connection = await self._connect()
            except NexusError as error:
                # The first failure of a series is news, its repetitions are not.
                level = logging.WARNING if pause_s == RECONNECT_S_MIN else logging.DEBUG
                facts = {"backend": self.backend, "address": self.address, "error": error.message}
                _log.log(level, "backend unreachable", extra=facts)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RECONNECT_S_MAX)
                continue
            pause_s = RECONNECT_S_MIN
            await connection.closed()

    async def _connect(self) -> FrameConnection:
        callbacks = Callbacks(on_message=self._received, on_lost=self._lost)
        connection = await connect_frames(
            self.address, name=self._own_name, callbacks=callbacks, ping_interval_s=PING_INTERVAL_S
        )
        if connection.peer != self.backend:
            connection.abort()
            raise UnavailableError(f"{connection.peer!r} answers there, not {self.backend!r}")
        if not connection.is_open:
            raise UnavailableError(f"backend {self.backend!r} closed the connection")
        self._connection = connection
        self._unanswered = 0
        _log.info("backend found", extra={"backend": self.backend, "address": self.address})
        self._tell(events.BackendFound(self.backend))
        return connection

    def _received(self, connection: FrameConnection, message: Message) -> None:
        match message:
            case Replies(replies):
                for reply in replies:
                    self._received(connection, reply)
            case Reply(dispatch_id, outcome):
                self._unanswered -= 1
                self._tell(events.Replied(dispatch_id, outcome))
                if self._withdrawn:
                    self._close_when_idle()
            case Goodbye():
                self._tell(events.BackendLeaving(self.backend))
            case _:
                _log.warning(
                    "unexpected message",
                    extra={"backend": self.backend, "kind": type(message).__name__},
                )

    def _lost(self, connection: FrameConnection) -> None:
        if self._connection is connection:
            self._connection = None
            error = connection.error.message if connection.error else "it closed the connection"
            _log.warning("backend lost", extra={"backend": self.backend, "error": error})
            self._tell(events.BackendLost(self.backend))

    def _close_when_idle(self) -> None:
        if self._unanswered > 0 and self.connected:
            return
        if self._connection is not None:
            self._connection.close()
        else:
            self._keeper.cancel()


class BackendLinks:
    """The links of the table in use."""

    def __init__(self, own_name: str, tell: Callable[[events.Event], None]) -> None:
        """Begin without links; ``tell`` gets BackendFound, -Leaving, -Lost and Replied."""
        self._own_name = own_name
        self._tell = tell
        self._links: dict[BackendName, BackendLink] = {}

    def follow(self, table: RoutingTable) -> None:
        """Connect to what the table names, and let go of what it names no more."""
        routed = {
            route.backend: route.address for routes in table.sessions for route in routes.routes
        }
        for backend, address in sorted(routed.items()):
            self._route(backend, address)
        for backend in self._links.keys() - routed.keys():
            self._links[backend].withdraw()
        self._links = {
            backend: link
            for backend, link in self._links.items()
            if backend in routed or not link.finished
        }

    def send(self, backend: BackendName, message: Infer | Cancel) -> None:
        """Send to a backend; raise UnavailableError, RefusedError or MessageTooLargeError."""
        link = self._links.get(backend)
        if link is None:
            raise UnavailableError(f"there is no connection to backend {backend!r}")
        link.send(message)

    async def close(self) -> None:
        """Close all."""
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))

    def _route(self, backend: BackendName, address: str) -> None:
        link = self._links.get(backend)
        if link is not None and link.address == address and not link.finished:
            link.restore()
            return
        if link is not None:
            # The backend was started anew elsewhere; what is under way at the old place is lost.
            if link.connected:
                self._tell(events.BackendLost(backend))
            link.abandon()
        if len(self._links) >= CONNECTIONS_MAX and backend not in self._links:
            _log.error("too many backends", extra={"backend": backend, "limit": CONNECTIONS_MAX})
            return
        self._links[backend] = BackendLink(self._own_name, backend, address, self._tell)
