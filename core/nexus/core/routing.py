"""The RoutingTable: for each session, the backends that serve it and their weights."""

from dataclasses import dataclass

from nexus.core.names import BackendName, ModelName, SessionName


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One backend of a session. ``rate`` (items/s) is its dispatch weight.

    ``address`` is ``host:port`` of the internal hop. ``batch`` and ``duty_cycle_us`` tell the
    frontend how fast the backend can work through this session, which admission needs: one batch
    each time all sessions of the device have had their full batch.
    """

    backend: BackendName
    address: str
    rate: float
    batch: int
    duty_cycle_us: int
    latency_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRoutes:
    """All routes of one session. ``slo_us`` is the budget the plan gave the session.

    Where the plan gave none, because no device can meet it, ``infeasible`` says why and ``model``
    and ``slo_us`` are empty: the catalogue has them.
    """

    session: SessionName
    model: ModelName
    slo_us: int
    routes: tuple[Route, ...]
    infeasible: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Full state with a version; a reader takes the newest version it sees and drops older ones."""

    version: int = 0
    epoch: int = 0
    fence: int = 0
    sessions: tuple[SessionRoutes, ...] = ()

    def session(self, name: str) -> SessionRoutes | None:
        """The routes of a session, or None when the table does not name it."""
        for routes in self.sessions:
            if routes.session == name:
                return routes
        return None
