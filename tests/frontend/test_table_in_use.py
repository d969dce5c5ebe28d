"""The table in use: which sessions keep their old routes, and for how long."""

from dataclasses import replace

from nexus.core.routing import Pool, PooledSession, PoolMember, Route, RoutingTable, SessionRoutes
from nexus.frontend.table_in_use import table_in_use

BEFORE_VERSION, NEWEST_VERSION = 1, 2


def local(*backends: str, session: str = "s") -> SessionRoutes:
    routes = tuple(
        Route(
            backend=name,
            address=f"{name}:1",
            rate=1.0,
            batch=1,
            duty_cycle_us=1_000,
            latency_us=1_000,
        )
        for name in backends
    )
    return SessionRoutes(session=session, model="m", slo_us=1_000, routes=routes)


def pooled(pool: str) -> SessionRoutes:
    return replace(local(), pool=pool, pool_rate=1.0)


def pool(name: str, *members: str, session: str = "s") -> Pool:
    serves = PooledSession(session=session, slo_us=1_000, batch=1, rate=1.0, latencies_us=(1_000,))
    backends = tuple(PoolMember(backend=member, address=f"{member}:1") for member in members)
    return Pool(name=name, device="v100", sessions=(serves,), members=backends)


def before(*sessions: SessionRoutes, pools: tuple[Pool, ...] = ()) -> RoutingTable:
    return RoutingTable(version=BEFORE_VERSION, sessions=sessions, pools=pools)


def newest(*sessions: SessionRoutes, pools: tuple[Pool, ...] = ()) -> RoutingTable:
    return RoutingTable(version=NEWEST_VERSION, sessions=sessions, pools=pools)


def test_table_in_use_is_the_newest_where_nobody_is_cut_off() -> None:
    new = newest(local("b1", "b2"))
    assert table_in_use(before(local("b0")), new, {"b0", "b1"}) is new
    assert table_in_use(before(local("b0")), new, set()) is new
    assert table_in_use(before(), new, {"b0"}) is new
    withdrawn = newest(local())
    assert table_in_use(before(local("b0")), withdrawn, {"b0"}) is withdrawn


def test_table_in_use_keeps_pool_and_version_of_a_session_that_moves() -> None:
    old = before(pooled("p"), local("b0", session="t"), pools=(pool("p", "b0", "b1"),))
    new = newest(pooled("q"), local("b1", session="t"), pools=(pool("q", "b8", "b9"),))
    used = table_in_use(old, new, {"b0", "b1"})
    assert used.version == BEFORE_VERSION
    assert used.sessions == (pooled("p"), local("b1", session="t"))
    assert used.pools == (*old.pools, *new.pools)
    assert table_in_use(used, new, {"b0", "b1", "b9"}) is new


def test_table_in_use_does_not_keep_a_pool_that_serves_others_by_now() -> None:
    old = before(pooled("p"), pools=(pool("p", "b0"),))
    new = newest(local("b9"), pools=(pool("p", "b0", session="t"),))
    assert table_in_use(old, new, {"b0"}) is new
