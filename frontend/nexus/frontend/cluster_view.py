"""What the engine knows of the cluster: the catalogue, the routing table, who can be reached."""

from nexus.core.cluster import Catalogue
from nexus.core.model import Model
from nexus.core.names import BackendName, QueryName, SessionName
from nexus.core.query import Query
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.routing import RoutingTable, backends_of
from nexus.core.tensor import VARIABLE
from nexus.frontend.limits import NO_ROUTE_RETRY_US, REQUEST_ITEMS_MAX
from nexus.frontend.planned_query import PlannedQuery
from nexus.frontend.pools import Pools
from nexus.frontend.session_dispatcher import DispatchLimits, SessionDispatcher
from nexus.frontend.table_in_use import table_in_use

_NO_LIMITS = DispatchLimits()


class ClusterView:
    """The newest catalogue and table, indexed by name.

    ``table`` is the one in use: ``newest``, except where that would cut a session off
    (table_in_use.py). Connect to the backends of both.
    """

    def __init__(self, pools: Pools) -> None:
        """Begin knowing nothing; ``pools`` follows the tables and backends taken here."""
        self.catalogue = Catalogue()
        self.table = self.newest = RoutingTable()
        self.pools = pools
        self.reachable: set[BackendName] = set()
        self.lost: set[BackendName] = set()
        self._dispatchers: dict[SessionName, SessionDispatcher] = {}
        self._queries: dict[QueryName, Query] = {}
        self._planned: dict[QueryName, PlannedQuery] = {}

    def take_catalogue(self, catalogue: Catalogue) -> None:
        """Replace what is declared; frames under way finish by the query they began with."""
        self.catalogue = catalogue
        self._queries = {query.name: query for query in catalogue.queries}
        self._planned.clear()
        self._index_limits()

    def take_table(self, table: RoutingTable) -> None:
        """Replace the table, unless it is older than the newest.

        A new leader's fence outranks versions: it may have had to count from the start again.
        """
        if (table.fence, table.version) < (self.newest.fence, self.newest.version):
            return
        self.newest = table
        self._use(table_in_use(self.table, table, self.reachable))

    def _use(self, table: RoutingTable) -> None:
        self.table = table
        self.pools.take_table(table, self.reachable)
        entries = {routes.session: routes for routes in table.sessions}
        kept = {name: one for name, one in self._dispatchers.items() if one.in_flight}
        for name in entries:
            known = self._dispatchers.get(name)
            kept[name] = known or SessionDispatcher(name, travel_us=self.pools.travel_us)
        for name, dispatcher in kept.items():
            routes = entries.get(name)
            pool = self.pools.of(routes.pool, routes.served_as) if routes else None
            dispatcher.update(routes, pool, self.reachable)
        self._dispatchers = kept
        self._planned.clear()
        self.lost &= backends_of(table) | backends_of(self.newest)
        self._index_limits()

    def reach(self, backend: BackendName) -> None:
        """A backend can be used from now on."""
        self.reachable.add(backend)
        self.lost.discard(backend)
        self.pools.found(backend)
        self._reachable_changed()

    def leave(self, backend: BackendName) -> None:
        """A backend takes nothing new any more."""
        self.reachable.discard(backend)
        self.pools.lost(backend)
        self._reachable_changed()

    def lose(self, backend: BackendName) -> None:
        """A backend is gone; should it come back, nothing learnt of it holds."""
        self.leave(backend)
        self.lost |= {backend} & backends_of(self.table)
        for dispatcher in self._dispatchers.values():
            dispatcher.forget(backend)

    def dispatcher(self, session: SessionName) -> SessionDispatcher | None:
        """Where the items of a session go; None when the table does not name it."""
        return self._dispatchers.get(session)

    def planned_query(self, name: QueryName) -> PlannedQuery | None:
        """The declared query of that name, as the table serves it; None when there is none."""
        planned = self._planned.get(name)
        if planned is None and name in self._queries:
            planned = PlannedQuery(self._queries[name], self._dispatchers)
            self._planned[name] = planned
        return planned

    def expected_wait_us(self, now_us: int) -> dict[SessionName, int]:
        """How long one item of each session with a reachable backend would take."""
        expected = {
            name: dispatcher.expected_us(1, now_us)
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

    def _reachable_changed(self) -> None:
        if self.table is not self.newest:
            self._use(table_in_use(self.table, self.newest, self.reachable))
        for dispatcher in self._dispatchers.values():
            dispatcher.reach(self.reachable)

    def _index_limits(self) -> None:
        limits = {model.name: _limits(model) for model in self.catalogue.models}
        for routes in self.table.sessions:
            self._dispatchers[routes.session].limits = limits.get(routes.model, _NO_LIMITS)


def _limits(model: Model) -> DispatchLimits:
    """Rows may be spread over dispatches only if the model declares their number variable."""
    if all(spec.shape[:1] == (VARIABLE,) for spec in model.inputs):
        return DispatchLimits(most=model.max_batch)
    return DispatchLimits(least=REQUEST_ITEMS_MAX)
