"""This frontend among the others: whom it asks, and who asks it (ADR 0020)."""

from collections.abc import Callable, Iterable

from nexus.core.clock import Clock
from nexus.core.cluster import FrontendReport
from nexus.core.names import FrontendName
from nexus.core.request import Outcome
from nexus.frontend import events
from nexus.frontend.peer_links import PeerLinks
from nexus.frontend.peer_server import PeerServer
from nexus.rpc.frames import Ask, Granted


class Peers:
    """Both directions: asks go out on links of our own, and come in at our own address."""

    def __init__(
        self,
        own_name: FrontendName,
        clock: Clock,
        tell: Callable[[events.Event], None],
        on_answered: Callable[[Outcome | None], None] = lambda _: None,
    ) -> None:
        """``tell`` gets PeersChanged, Asked and AskAnswered; ``on_answered`` refusals and None."""
        self._on_answered = on_answered
        self._links = PeerLinks(own_name, tell)
        self._server = PeerServer(own_name, clock, tell)

    @property
    def port(self) -> int:
        """Where others ask, once started."""
        return int(self._server.address.rpartition(":")[2])

    async def start(self, host: str, port: int) -> None:
        """Listen; raise FailedPreconditionError when the address is taken."""
        await self._server.start(host, port)

    def follow(self, reports: Iterable[FrontendReport]) -> None:
        """Connect to the frontends that report an address."""
        self._links.follow(reports)

    def ask(self, peer: FrontendName, message: Ask) -> None:
        """Ask a peer; raise UnavailableError or RefusedError when it cannot be sent."""
        self._links.ask(peer, message)

    def answer(self, peer: FrontendName, message: Granted) -> None:
        """Answer an ask, if whoever asked is still there."""
        self._on_answered(message.refusal)
        self._server.answer(peer, message)

    async def close(self) -> None:
        """Close the server first: then nobody asks any more."""
        await self._server.close()
        await self._links.close()
