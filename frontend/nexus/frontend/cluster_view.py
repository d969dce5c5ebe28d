"""What the engine knows of the cluster: the catalogue, the routing table, who can be reached."""

from nexus.core.cluster import Catalogue
from nexus.core.names import BackendName, QueryName, SessionName, stage_session_name
from nexus.core.query import Query, Stage
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.routing import RoutingTable
from nexus.frontend.limits import NO_ROUTE_RETRY_US, REQUEST_ITEMS_MAX
from nexus.frontend.session_dispatcher import SessionDispatcher


class ClusterView:
    """The newest catalogue and table, indexed by name."""

    def __init__(self) -> None:
        """Begin knowing nothing."""
        self.catalogue = Catalogue()
        self.table = RoutingTable()
        self.reachable: set[BackendName] = set()
        self._dispatchers: dict[SessionName, SessionDispatcher] = {}
        self._batch_max: dict[SessionName, int] = {}
        self._queries: dict[QueryName, Query] = {}

    def take_catalogue(self, catalogue: Catalogue) -> None:
        """Replace what is declared; frames under way finish by the query they began with."""
        self.catalogue = catalogue
        self._queries = {query.name: query for query in catalogue.queries}
        self._index_batch_limits()

    def take_table(self, table: RoutingTable) -> None:
        """Replace the table, unless it is older than the one in use.

        A new leader's fence outranks versions: it may have had to count from the start again.
        """
        if (table.fence, table.version) < (self.table.fence, self.table.version):
            return
        self.table = table
        entries = {routes.session: routes for routes in table.sessions}
        kept = {name: one for name, one in self._dispatchers.items() if one.in_flight}
        for name in entries:
            kept[name] = self._dispatchers.get(name) or SessionDispatcher(name)
        for name, dispatcher in kept.items():
            dispatcher.update(entries.get(name))
        self._dispatchers = kept
        self._index_batch_limits()

    def lose(self, backend: BackendName) -> None:
        """A backend is gone; should it come back, nothing learnt of it holds."""
        self.reachable.discard(backend)
        for dispatcher in self._dispatchers.values():
            dispatcher.forget(backend)

    def dispatcher(self, session: SessionName) -> SessionDispatcher | None:
        """Where the items of a session go; None when the table does not name it."""
        return self._dispatchers.get(session)

    def stage_dispatcher(self, query: Query, stage: Stage) -> SessionDispatcher | None:
        """Where the items of a query's stage go; None when the table does not name it."""
        return self._dispatchers.get(stage_session_name(query.name, stage.name))

    def batch_max(self, session: SessionName) -> int:
        """The most items that one dispatch of a session may carry, by its model's declaration."""
        return self._batch_max.get(session, REQUEST_ITEMS_MAX)

    def query(self, name: QueryName) -> Query | None:
        """The declared query of that name."""
        return self._queries.get(name)

    def expected_wait_us(self, now_us: int) -> dict[SessionName, int]:
        """How long one item of each session with a reachable backend would take."""
        expected = {
            name: dispatcher.expected_us(1, now_us, self.reachable)
            for name, dispatcher in self._dispatchers.items()
        }
        return {name: wait_us for name, wait_us in expected.items() if wait_us is not None}

    def not_planned(self, owner: str) -> Outcome:
        """The refusal of what the table does not name."""
        if self.table.version == 0:
            message = "this frontend has read no routing table yet"
        else:
            message = f"{owner} is not in routing table {self.table.version}: not planned yet"
        return dropped(DropReason.NO_ROUTE, message, retry_after_us=NO_ROUTE_RETRY_US)

    def _index_batch_limits(self) -> None:
        limits = {model.name: model.max_batch for model in self.catalogue.models}
        self._batch_max = {
            routes.session: limits[routes.model]
            for routes in self.table.sessions
            if routes.model in limits
        }
