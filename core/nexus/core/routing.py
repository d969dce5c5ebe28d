"""The RoutingTable: for each session, the backends that serve it and their weights."""

from dataclasses import dataclass

from nexus.core.names import (
    BackendName,
    DeviceType,
    ModelName,
    PoolName,
    SessionName,
    variant_session_name,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One backend of a session. ``rate`` (items/s) is its dispatch weight.

    ``address`` is ``host:port`` of the internal hop. ``batch`` and ``duty_cycle_us`` tell the
    frontend how fast the backend can work through this session, which admission needs: one batch
    each time all sessions of the device have had their full batch. It takes ``latency_us``, one of
    a single item ``single_us`` (0: not known). A ``spare`` is used only for what no other route can
    answer in time.
    """

    backend: BackendName
    address: str
    rate: float
    batch: int
    duty_cycle_us: int
    latency_us: int
    spare: bool = False
    single_us: int = 0

    def batch_us(self, items: int) -> int:
        """How long a batch of ``items`` takes, at most a full one: a line between what is known."""
        if not self.single_us or items >= self.batch:
            return self.latency_us
        share = (items - 1) / (self.batch - 1)
        return self.single_us + round((self.latency_us - self.single_us) * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRoutes:
    """All routes of one session. ``slo_us`` is the budget the plan gave the session.

    Where the plan gave none, because no device can meet it, ``infeasible`` says why and ``model``
    and ``slo_us`` are empty: the catalogue has them. ``routes`` are the local ones; where ``pool``
    is named, that pool serves ``pool_rate`` items/s of the session beside them (ADR 0020). Where
    ``variant`` is named, that cheaper model answers for now, and dispatches and asks go by
    ``served_as`` (ADR 0025).
    """

    session: SessionName
    model: ModelName
    slo_us: int
    routes: tuple[Route, ...]
    infeasible: str = ""
    pool: PoolName | None = None
    pool_rate: float = 0.0
    variant: ModelName = ""

    @property
    def served_as(self) -> SessionName:
        """The session's name at backends and owners of pools."""
        return variant_session_name(self.session, self.variant) if self.variant else self.session


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMember:
    """One backend of a pool, at ``address`` (``host:port`` of the internal hop).

    A ``spare`` is ready but not in the plan's count: it is used when the others cannot keep up.
    """

    backend: BackendName
    address: str
    spare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledSession:
    """What the owner of a pool must know of one session.

    ``batch`` is the batch size to fill; ``latencies_us[b - 1]`` is l(b) on the pool's device type,
    up to the largest batch that may be executed; ``preprocess_us`` goes by before an item can join
    one, ``postprocess_us`` after it. ``rate`` (items/s) is the planned share: overload must leave
    it that. Backends start a deferred batch ``slack_us`` before its last moment. Sessions of the
    same ``group`` fill one batch together.
    """

    session: SessionName
    slo_us: int
    batch: int
    rate: float
    latencies_us: tuple[int, ...]
    preprocess_us: int = 0
    postprocess_us: int = 0
    slack_us: int = 0
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Sessions and backends of one device type that all host all of them (ADR 0020).

    Members are in the order in which the owner prefers them when several are free.
    """

    name: PoolName
    device: DeviceType
    sessions: tuple[PooledSession, ...]
    members: tuple[PoolMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingTable:
    """Full state with a version; a reader takes the newest version it sees and drops older ones."""

    version: int = 0
    epoch: int = 0
    fence: int = 0
    sessions: tuple[SessionRoutes, ...] = ()
    pools: tuple[Pool, ...] = ()

    def session(self, name: str) -> SessionRoutes | None:
        """The routes of a session, or None when the table does not name it."""
        for routes in self.sessions:
            if routes.session == name:
                return routes
        return None

    def pool_of(self, session: str) -> Pool | None:
        """The pool that routes a session beside its local routes, or None."""
        routes = self.session(session)
        name = routes.pool if routes is not None else None
        return next((pool for pool in self.pools if pool.name == name), None)


def addresses_of(table: RoutingTable) -> dict[BackendName, str]:
    """Every backend that a frontend may send to by this table, and its ``host:port``."""
    local = {route.backend: route.address for entry in table.sessions for route in entry.routes}
    return local | {
        member.backend: member.address for pool in table.pools for member in pool.members
    }


def backends_of(table: RoutingTable) -> set[BackendName]:
    """Every backend that a frontend may send to by this table."""
    return set(addresses_of(table))
