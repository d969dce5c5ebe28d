"""The other frontends: asks go to them, and their grants come back (ADR 0020).

Each frontend serves asks at its ``--peer-listen`` address and connects to every other frontend that
reports one. Who is connected counts as live; pools are owned among those.
"""

import asyncio
from collections.abc import Callable, Iterable

from nexus.core.cluster import FrontendReport
from nexus.core.errors import UnavailableError
from nexus.core.names import FrontendName
from nexus.frontend import events
from nexus.frontend.kept_connection import KeptConnection, Listener
from nexus.frontend.limits import PEERS_MAX
from nexus.rpc.frames import Ask, Granted, Message


class PeerLinks:
    """One connection to every other frontend, on which this one asks."""

    def __init__(self, own_name: FrontendName, tell: Callable[[events.Event], None]) -> None:
        """Begin alone; ``tell`` gets PeersChanged and AskAnswered."""
        self._own_name = own_name
        self._tell = tell
        self._links: dict[FrontendName, KeptConnection] = {}
        self._said: tuple[FrontendName, ...] = ()

    def follow(self, reports: Iterable[FrontendReport]) -> None:
        """Connect to the frontends that report a peer address, and let go of those that do not.

        Of more than PEERS_MAX the first by name are taken.
        """
        addresses = {report.frontend: report.peer_address for report in reports}
        others = sorted(n for n, address in addresses.items() if address and n != self._own_name)
        wanted = {name: addresses[name] for name in others[:PEERS_MAX]}
        for name in self._links.keys() - wanted.keys():
            self._links.pop(name).end()
        for name, address in wanted.items():
            link = self._links.get(name)
            if link is not None and link.address == address:
                continue
            if link is not None:
                link.abandon()  # It was started anew elsewhere.
            self._links[name] = self._connect(name, address)
        self.say_who_is_there()

    def say_who_is_there(self) -> None:
        """Tell the engine which frontends can be reached, this one included."""
        live = {name for name, link in self._links.items() if link.connected}
        peers = tuple(sorted(live | {self._own_name}))
        if peers != self._said:
            self._said = peers
            self._tell(events.PeersChanged(self._own_name, peers))

    def ask(self, peer: FrontendName, message: Ask) -> None:
        """Ask a peer; raise UnavailableError or RefusedError when it cannot be sent."""
        link = self._links.get(peer)
        if link is None:
            raise UnavailableError(f"there is no connection to frontend {peer!r}")
        link.send(message)

    async def close(self) -> None:
        """Close all; nobody is told."""
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))

    def _connect(self, name: FrontendName, address: str) -> KeptConnection:
        listener = Listener(
            on_found=self.say_who_is_there,
            on_lost=self.say_who_is_there,
            on_message=self._received,
        )
        return KeptConnection(self._own_name, "frontend", name, address, listener)

    def _received(self, message: Message) -> None:
        if isinstance(message, Granted):
            self._tell(events.AskAnswered(message.ask_id, message.backend, message.refusal))
