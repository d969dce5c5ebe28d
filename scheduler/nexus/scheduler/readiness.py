"""Where the target wants each session, and which of these places can be routed to already.

What rollout.py and pool_rollout.py both ask of the target plan and the backends' statuses.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.cluster import BackendState, BackendStatus
from nexus.core.names import BackendName, PoolName, SessionName, declared_session
from nexus.core.plan import BackendPlan, Placement

Live: TypeAlias = Mapping[BackendName, BackendStatus]


@dataclass(frozen=True, slots=True)
class Place:
    """One placement and the backend plan it is part of."""

    plan: BackendPlan
    placement: Placement

    @property
    def backend(self) -> BackendName:
        """The backend's name."""
        return self.plan.backend


@dataclass(frozen=True, slots=True)
class Wanted:
    """The target's places by session, and what is known of them now.

    Spares are places, but nobody waits for them: a session is *complete* once all its other places
    are ready, and *arrived* once its pool, if it has one, admits it, too. ``loaded`` says what
    serving backends have. ``tight`` backends cannot hold what they have and what they should get
    together; a pool is ``crowded`` while one of its sessions waits for a tight backend.

    A session that is served by another model than before has another name now (ADR 0025): asked by
    the old one, its *successor* answers.
    """

    places: Mapping[SessionName, Sequence[Place]]
    live: Live
    tight: frozenset[BackendName]
    serving: Mapping[SessionName, SessionName]
    loaded: Mapping[BackendName, AbstractSet[SessionName]]
    crowded: AbstractSet[PoolName]

    def is_ready(self, backend: BackendName, session: SessionName) -> bool:
        """Whether a backend can be routed to for a session."""
        return session in self.loaded.get(backend, ())

    def successor(self, session: SessionName) -> SessionName | None:
        """The name that the target has for a session, its own as a rule; None when it has none."""
        return session if session in self.places else self.serving.get(declared_session(session))

    def complete(self, session: SessionName) -> bool:
        """Whether every place that counts is ready."""
        name = self.successor(session)
        return name is None or all(
            self.is_ready(place.backend, name)
            for place in self.places[name]
            if not place.placement.spare
        )

    def home(self, session: SessionName) -> PoolName | None:
        """The pool that must admit the session; None when it has local places or spares only."""
        name = self.successor(session)
        pools = (p.placement.pool for p in self.places.get(name or "", ()) if not p.placement.spare)
        return next((pool for pool in pools if pool is not None), None)

    def arrived(self, session: SessionName, joined: Container[SessionName]) -> bool:
        """Whether the target serves the session by now, so that it needs no former place.

        ``joined`` are the sessions that the target's pools admit. A pool may have to keep out a
        session that all its members have, for the sake of another one that they lack.
        """
        at_home = self.home(session) is None or self.successor(session) in joined
        return at_home and self.complete(session)

    def waits_for_room(self, session: SessionName) -> bool:
        """Whether the session, or its pool, waits for a device that has no memory for it yet."""
        name = self.successor(session)
        return name is not None and any(
            place.placement.pool in self.crowded
            or (place.backend in self.tight and not self.is_ready(place.backend, name))
            for place in self.places[name]
        )


def wanted_by(target: Iterable[BackendPlan], live: Live, tight: frozenset[BackendName]) -> Wanted:
    """All places of the target."""
    places: dict[SessionName, list[Place]] = {}
    for plan in target:
        for placement in plan.placements:
            places.setdefault(placement.session, []).append(Place(plan, placement))
    counted = [name for name in places if any(not place.placement.spare for place in places[name])]
    # A session's spare may still be of another model than the places that count.
    serving = {declared_session(name): name for name in (*places, *counted)}
    loaded = {
        name: frozenset(status.loaded)
        for name, status in live.items()
        if status.state is BackendState.SERVING
    }
    crowded = {
        place.placement.pool
        for name, of_session in places.items()
        for place in of_session
        if place.placement.pool is not None
        and place.backend in tight
        and name not in loaded.get(place.backend, ())
    }
    return Wanted(places, live, tight, serving, loaded, crowded)
