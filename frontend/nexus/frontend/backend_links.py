"""One long-lived connection to every backend of the routing table (ADR 0007).

A link connects as long as its backend is routed or a member of a pool; once withdrawn it stays
until the last reply has come, and is closed then. What happens on links is told as engine events.
"""

import asyncio
import logging
from collections.abc import Callable

from nexus.core.errors import UnavailableError
from nexus.core.names import BackendName
from nexus.core.routing import RoutingTable, addresses_of
from nexus.frontend import events
from nexus.frontend.kept_connection import KeptConnection, Listener
from nexus.frontend.limits import CONNECTIONS_MAX
from nexus.rpc.frames import BatchStarted, Cancel, Goodbye, Infer, Message, Replies, Reply, Watch

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
        self._tell = tell
        self._unanswered = 0
        listener = Listener(
            on_found=self._found,
            on_lost=lambda: tell(events.BackendLost(backend)),
            on_message=self._received,
        )
        self._kept = KeptConnection(own_name, "backend", backend, address, listener)

    @property
    def connected(self) -> bool:
        """Whether dispatches can be sent."""
        return self._kept.connected

    @property
    def finished(self) -> bool:
        """Whether it was withdrawn and will not connect again."""
        return self._kept.finished

    def send(self, message: Infer | Cancel | Watch) -> None:
        """Send to the backend; raise UnavailableError, RefusedError or MessageTooLargeError."""
        self._kept.send(message)
        if isinstance(message, Infer):
            self._unanswered += 1

    def withdraw(self) -> None:
        """The table names the backend no more: close as soon as nothing is unanswered."""
        self._kept.wanted = False
        self._close_when_idle()

    def restore(self) -> None:
        """The table names the backend again before the link was closed."""
        self._kept.wanted = True

    def abandon(self) -> None:
        """Cut the connection without a word to anyone."""
        self._kept.abandon()

    async def close(self) -> None:
        """Flush what was sent (cancels), then close."""
        await self._kept.close()

    def _found(self) -> None:
        self._unanswered = 0
        self._tell(events.BackendFound(self.backend))

    def _received(self, message: Message) -> None:
        match message:
            case Reply(dispatch_id, outcome):
                self._answered(1)
                self._tell(events.Replied(dispatch_id, outcome))
            case Replies(replies):
                self._answered(len(replies))
                ids = tuple(reply.dispatch_id for reply in replies)
                outcomes = tuple(reply.outcome for reply in replies)
                self._tell(events.RepliedTogether(ids, outcomes))
            case BatchStarted(session, items, busy_us, queued_items):
                self._tell(events.BatchStarted(self.backend, session, items, busy_us, queued_items))
            case Goodbye():
                self._tell(events.BackendLeaving(self.backend))
            case _:
                _log.warning(
                    "unexpected message",
                    extra={"backend": self.backend, "kind": type(message).__name__},
                )

    def _answered(self, dispatches: int) -> None:
        self._unanswered -= dispatches
        if not self._kept.wanted:
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._unanswered <= 0 or not self.connected:
            self._kept.end()


class BackendLinks:
    """The links of the table in use."""

    def __init__(self, own_name: str, tell: Callable[[events.Event], None]) -> None:
        """Begin without links; ``tell`` gets what happens, as engine events."""
        self._own_name = own_name
        self._tell = tell
        self._links: dict[BackendName, BackendLink] = {}

    def follow(self, *tables: RoutingTable) -> None:
        """Connect to what the tables name (the last wins), and let go of what none names."""
        routed: dict[BackendName, str] = {}
        for table in tables:
            routed |= addresses_of(table)
        for backend, address in sorted(routed.items()):
            self._route(backend, address)
        for backend in self._links.keys() - routed.keys():
            self._links[backend].withdraw()
        self._links = {
            backend: link
            for backend, link in self._links.items()
            if backend in routed or not link.finished
        }

    def send(self, backend: BackendName, message: Infer | Cancel | Watch) -> None:
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
