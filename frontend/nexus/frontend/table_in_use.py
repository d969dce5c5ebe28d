"""Which routes to use while a new table names backends that are not connected yet. Pure.

A plan may move a session onto a backend that this frontend has never had anything to do with. Until
the connection stands (a round trip, or for ever where the network is cut) the session would have
no route, though its old backend serves it: the scheduler lets that go only once every frontend
reports the newer table. So such a session keeps its routes, and the older version is reported.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from nexus.core.names import BackendName, PoolName
from nexus.core.routing import Pool, RoutingTable, SessionRoutes


def table_in_use(
    before: RoutingTable, newest: RoutingTable, reachable: Collection[BackendName]
) -> RoutingTable:
    """``newest``, with the entries of ``before`` for sessions that it would cut off.

    Its version is that of ``before`` as long as there is such a session. A session to which
    ``newest`` gives no backend at all is not cut off but withdrawn.
    """
    pools = {pool.name: pool for pool in newest.pools}
    all_pools = {pool.name: pool for pool in before.pools} | pools
    old = {routes.session: routes for routes in before.sessions}
    kept = {
        routes.session: old[routes.session]
        for routes in newest.sessions
        if routes.session in old
        and (backends := _backends(routes, pools))
        and backends.isdisjoint(reachable)
        and not _backends(old[routes.session], all_pools).isdisjoint(reachable)
    }
    if not kept:
        return newest
    needed = {routes.pool for routes in kept.values()}
    return replace(
        newest,
        version=before.version,
        sessions=tuple(kept.get(routes.session, routes) for routes in newest.sessions),
        pools=tuple(pool for name, pool in all_pools.items() if name in pools or name in needed),
    )


def _backends(routes: SessionRoutes, pools: Mapping[PoolName, Pool]) -> set[BackendName]:
    """Where the session may be sent."""
    local = {route.backend for route in routes.routes}
    pool = pools.get(routes.pool) if routes.pool is not None else None
    if pool is None or routes.served_as not in {pooled.session for pooled in pool.sessions}:
        return local
    return local | {member.backend for member in pool.members}
