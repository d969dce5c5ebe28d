"""A frontend's connection to a backend, and the one between two frontends.

A connection ends for each side when that side hears of it: at once for who breaks it, one network
delay later for the other, or only when the other has been silent for too long. A side that has not
heard still takes what was on its way.
"""

from typing import TYPE_CHECKING

from nexus.backend import events as backend_events
from nexus.core.request import Dispatch, Outcome
from nexus.frontend import events as frontend_events
from nexus.simulator.network import Network

if TYPE_CHECKING:
    from nexus.simulator.simulated_backend import SimulatedBackend
    from nexus.simulator.simulated_frontend import SimulatedFrontend


class Connection:
    """One TCP connection of the internal hop; ``number`` is never used again."""

    __slots__ = (
        "_after",
        "_arrive",
        "_down",
        "_network",
        "_risky",
        "_up",
        "backend",
        "frontend",
        "number",
        "open_at_backend",
        "open_at_frontend",
    )

    def __init__(
        self,
        number: int,
        frontend: "SimulatedFrontend",
        backend: "SimulatedBackend",
        network: Network,
    ) -> None:
        """Open for both."""
        self.number = number
        self.frontend = frontend
        self.backend = backend
        self.open_at_frontend = self.open_at_backend = True
        self._network = network
        self._risky = network.settings.reset > 0
        self._up = network.lane(frontend.name, backend.name)
        self._down = network.lane(backend.name, frontend.name)
        self._after = network.world.after
        self._arrive = backend.arrive

    # Frontend to backend.

    def infer(self, dispatch: Dispatch, size: int) -> None:
        """Send a dispatch with its payload of ``size`` bytes."""
        if self._risky and self._network.breaks():
            self.reset()
        lane = self._up
        if lane.plain:
            self._after(lane.delay_us, self._arrive, self, dispatch)
        else:
            lane.send_bytes(size, self._arrive, self, dispatch)

    def tell_backend(self, event: backend_events.Cancelled | backend_events.Watched) -> None:
        """Send a small message."""
        self._up.send(self._told, event)

    def _told(self, event: backend_events.BackendEvent) -> None:
        if self.open_at_backend:
            self.backend.handle(event)

    # Backend to frontend.

    def reply(self, dispatch_ids: tuple[int, ...], outcomes: tuple[Outcome, ...]) -> None:
        """Send the replies to dispatches that came over this connection."""
        if self._risky and self._network.breaks():
            self.reset()
        self._down.send(self._replied, dispatch_ids, outcomes)

    def tell_frontend(self, event: frontend_events.BatchStarted) -> None:
        """Send a small message."""
        self._down.send(self._heard, event)

    def _replied(self, dispatch_ids: tuple[int, ...], outcomes: tuple[Outcome, ...]) -> None:
        if self.open_at_frontend:
            self.frontend.replied(dispatch_ids, outcomes)

    def _heard(self, event: frontend_events.Event) -> None:
        if self.open_at_frontend:
            self.frontend.handle(event)

    # Ends.

    def reset(self) -> None:
        """The network broke it: both sides hear of it one delay later."""
        self._up.send(self.end_at_backend)
        self._down.send(self.end_at_frontend)

    def close_by_frontend(self) -> None:
        """The frontend's end closes, whether it wants or dies."""
        self.open_at_frontend = False
        self._up.send(self.end_at_backend)

    def close_by_backend(self) -> None:
        """The backend's end closes: it died."""
        self.open_at_backend = False
        self._down.send(self.end_at_frontend)

    def end_at_frontend(self) -> None:
        """The frontend hears that it is no more."""
        if self.open_at_frontend:
            self.open_at_frontend = False
            self.frontend.backend_lost(self)

    def end_at_backend(self) -> None:
        """The backend hears that it is no more."""
        if self.open_at_backend:
            self.open_at_backend = False
            self.backend.frontend_lost(self)


class PeerConnection:
    """Between two frontends, for asks and their answers; ``ends`` are the two."""

    __slots__ = ("_after", "_open", "_ways", "ends")

    def __init__(
        self, one: "SimulatedFrontend", other: "SimulatedFrontend", network: Network
    ) -> None:
        """Open for both."""
        self.ends = {one.name: one, other.name: other}
        self._open = {one.name: True, other.name: True}
        self._after = network.world.after
        self._ways = {
            one.name: (network.lane(one.name, other.name), other),
            other.name: (network.lane(other.name, one.name), one),
        }

    def other(self, name: str) -> "SimulatedFrontend":
        """The frontend at the other end than ``name``'s."""
        return self._ways[name][1]

    def tell(self, source: str, event: frontend_events.Event) -> None:
        """Send an ask, or the answer to one, from ``source`` to the other."""
        lane, target = self._ways[source]
        if lane.plain:
            self._after(lane.delay_us, self._heard, target, event)
        else:
            lane.send(self._heard, target, event)

    def close_by(self, name: str) -> None:
        """The end of ``name`` closes; the other hears one delay later."""
        self._open[name] = False
        lane, other = self._ways[name]
        lane.send(self.end_at, other.name)

    def end_at(self, name: str) -> None:
        """``name`` hears that it is no more."""
        if self._open[name]:
            self._open[name] = False
            self.ends[name].peer_lost(self)

    def _heard(self, target: "SimulatedFrontend", event: frontend_events.Event) -> None:
        if not self._open[target.name]:
            return
        if type(event) is frontend_events.Asked:
            target.asked(event)
        else:
            target.handle(event)
