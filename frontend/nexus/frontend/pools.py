"""The pools of the routing table as one frontend knows them: who owns each, and whom to watch.

Every frontend keeps an owner's reckoning of every pool. It decides by it where the pool is its own,
and also where it must help itself because the owner does not answer (ADR 0020): then it knows
nothing of what the others send, but needs nobody.
"""

from collections.abc import Collection, Iterator, Mapping

from nexus.core.names import BackendName, FrontendName, PoolName, SessionName
from nexus.core.routing import Pool, PoolMember, RoutingTable
from nexus.frontend.events import Watch
from nexus.frontend.ownership import ranking
from nexus.frontend.pool_owner import PoolOwner


class KnownPool:
    """One pool. ``peer`` is the frontend that owns it; empty: decide here, with ``owner``."""

    def __init__(self, owner: PoolOwner) -> None:
        """Decide here until a peer is known to own it."""
        self.owner = owner
        self.peer: FrontendName = ""
        self.members: Mapping[BackendName, PoolMember] = {}
        self.update(owner.pool)

    def update(self, pool: Pool) -> None:
        """Take the pool as a new table has it."""
        self.owner.update(pool)
        self.members = {member.backend: member for member in pool.members}

    def expected_us(self, session: SessionName, now_us: int) -> int | None:
        """How long one item would take now; what a peer owns is taken to be unloaded."""
        if self.peer:
            return self.owner.unloaded_us(session)
        return self.owner.expected_us(session, now_us)


class Pools:
    """All pools of the table in use."""

    def __init__(self, travel_us: int) -> None:
        """``travel_us`` is kept free before each deadline, for the way to a backend and back."""
        self.travel_us = travel_us
        self._pools: dict[PoolName, KnownPool] = {}
        self._own: FrontendName = ""
        self._peers: tuple[FrontendName, ...] = ()
        self._watched: set[BackendName] = set()

    def of(self, pool: PoolName | None, session: SessionName) -> KnownPool | None:
        """The pool of that name, if the table has it and it serves the session."""
        known = self._pools.get(pool) if pool is not None else None
        return known if known is not None and known.owner.serves(session) else None

    def take_table(self, table: RoutingTable, reachable: Collection[BackendName]) -> None:
        """Follow a new table; what was reckoned of a pool that stays is kept."""
        before, self._pools = self._pools, {}
        for pool in table.pools:
            known = before.get(pool.name)
            if known is None:
                owner = PoolOwner(pool, reachable, travel_us=self.travel_us)
                known = KnownPool(owner)
            else:
                known.update(pool)
            self._pools[pool.name] = known
        self._elect()

    def take_peers(self, own: FrontendName, peers: tuple[FrontendName, ...]) -> None:
        """These frontends can be reached now; among them every pool has one owner."""
        self._own = own
        self._peers = peers
        self._elect()

    def found(self, backend: BackendName) -> None:
        """A backend is connected; it watches nobody's wish of before."""
        self._watched.discard(backend)
        for known in self._pools.values():
            known.owner.found(backend)

    def lost(self, backend: BackendName) -> None:
        """A backend takes no more."""
        self._watched.discard(backend)
        for known in self._pools.values():
            known.owner.lost(backend)

    def watches(self, reachable: Collection[BackendName]) -> Iterator[Watch]:
        """What to tell backends, so that those of own pools, and only they, are watched."""
        wanted = {
            backend
            for known in self._pools.values()
            if self._is_own(known)
            for backend in known.members
            if backend in reachable
        }
        for backend in sorted(self._watched - wanted):
            if backend in reachable:
                yield Watch(backend, on=False)
        for backend in sorted(wanted - self._watched):
            yield Watch(backend)
        self._watched = wanted

    def _elect(self) -> None:
        for name, known in self._pools.items():
            # Who is not among the peers cannot be asked by them, and does not ask: it helps itself.
            known.peer = ""
            if self._own in self._peers:
                owner = ranking(name, self._peers)[0]
                known.peer = "" if owner == self._own else owner

    def _is_own(self, known: KnownPool) -> bool:
        return not known.peer and (not self._peers or self._own in self._peers)
