"""Pools on their way from the published table to the target (ADR 0020, in the phases of ADR 0012).

A member must host every session that its pool routes, so it joins once it has loaded them all.
While backends are still loading, the pool routes what it can:

- A session joins a pool (a new one, or one that runs) once that costs the pool no member it has,
  and serves the session no worse than where it is: with as many members as its old pool had.
- Until then a session that had another pool stays there, and members on their way out stay as long
  as a session of the pool waits for a place of the target.
- Members without memory for what is to come leave at once if the pool itself waits for room.
- A member that died or drains is ready for nothing and leaves with the next table.

A pure function of target, published pools and observation, like the rest of the roll-out.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.names import BackendName, DeviceType, PoolName, SessionName
from nexus.core.plan import Placement
from nexus.core.profile import Profile
from nexus.core.routing import Pool, PooledSession, PoolMember
from nexus.scheduler.readiness import Wanted, is_ready

ProfileOf: TypeAlias = Callable[[Placement, DeviceType], Profile | None]
"""By which profile a placement runs on a device type; None: it is not known (any more)."""


@dataclass(frozen=True, slots=True)
class PoolTarget:
    """What the target says of one pool: each session's placements by backend."""

    name: PoolName
    device: DeviceType
    placements: Mapping[SessionName, Mapping[BackendName, Placement]]

    def hosts(self) -> dict[BackendName, bool]:
        """Every backend of the pool, and whether it is only a spare."""
        spares: dict[BackendName, bool] = {}
        for by_backend in self.placements.values():
            for backend, placement in by_backend.items():
                spares[backend] = placement.spare and spares.get(backend, True)
        return spares

    def rate(self, session: SessionName, members: Container[BackendName] | None = None) -> float:
        """Items/s planned for a session on ``members``; None: on all."""
        by_backend = self.placements.get(session, {})
        return sum(p.rate for name, p in by_backend.items() if members is None or name in members)


def roll_pools(wanted: Wanted, published: Sequence[Pool], profile: ProfileOf) -> tuple[Pool, ...]:
    """The next pools on the way to the target; a pool without a ready member is left out."""
    rollouts = _rollouts(wanted, published)
    joined = {session: rollout.name for rollout in rollouts for session in rollout.admitted()}
    pools = (rollout.pool(rollout.routed(joined), profile) for rollout in rollouts)
    return tuple(pool for pool in pools if pool is not None)


def pool_rates(wanted: Wanted, pools: Iterable[Pool]) -> dict[SessionName, tuple[PoolName, float]]:
    """The pool of every pooled session, and the items/s it takes there beside local routes."""
    targets = pool_targets(wanted)
    rates = {}
    for pool in pools:
        members = {member.backend for member in pool.members}
        for session in pool.sessions:
            share = targets[pool.name].rate(session.session, members) if pool.name in targets else 0
            rates[session.session] = (pool.name, share or session.rate)
    return rates


def pool_targets(wanted: Wanted) -> dict[PoolName, PoolTarget]:
    """The target's pools by name."""
    grouped: dict[PoolName, dict[SessionName, dict[BackendName, Placement]]] = {}
    devices: dict[PoolName, DeviceType] = {}
    for session, places in wanted.places.items():
        for place in places:
            name = place.placement.pool
            if name is not None:
                sessions = grouped.setdefault(name, {})
                sessions.setdefault(session, {})[place.backend] = place.placement
                devices[name] = place.plan.device
    return {name: PoolTarget(name, devices[name], grouped[name]) for name in sorted(grouped)}


@dataclass(frozen=True, slots=True)
class _PoolRollout:
    """One pool between what is published and what is wanted.

    ``served`` says how many members each session has now, in whatever pool; ``spots`` are the
    target's.
    """

    name: PoolName
    wanted: Wanted
    target: PoolTarget
    current: Pool | None
    spots: frozenset[tuple[BackendName, SessionName]]
    served: Mapping[SessionName, int]

    @property
    def sessions_now(self) -> tuple[SessionName, ...]:
        """The sessions that the published pool routes and the target still serves somewhere."""
        sessions = self.current.sessions if self.current is not None else ()
        return tuple(s.session for s in sessions if self.wanted.successor(s.session) is not None)

    def stayers(self) -> list[SessionName]:
        """Sessions routed now that also belong here; one that no host can serve falls out."""
        stayers: list[SessionName] = []
        for session in self.sessions_now:
            if session in self.target.placements and self.hosts([*stayers, session]):
                stayers.append(session)
        return stayers

    def admitted(self) -> list[SessionName]:
        """The target's sessions that this pool routes from now on."""
        admitted = self.stayers()
        for session in self.target.placements:
            ready = len(self.hosts([*admitted, session]))
            if session not in self.sessions_now and ready >= self._least(session, admitted):
                admitted.append(session)
        return admitted

    def routed(self, joined: Mapping[SessionName, PoolName]) -> list[SessionName]:
        """The sessions admitted, and those that wait here for their new place."""
        routed = [session for session, name in joined.items() if name == self.name]
        for session in self.sessions_now:
            leaving = session not in self.target.placements and session not in joined
            if leaving and not self.wanted.complete(session) and self.hosts([*routed, session]):
                routed.append(session)
        return sorted(routed)

    def hosts(self, sessions: Sequence[SessionName]) -> list[BackendName]:
        """The backends that may be members of a pool of just these sessions.

        A member on its way out counts only for what it is routed for now: whatever else it still
        has loaded it may be unloading at this moment.
        """
        members = [m.backend for m in self.current.members] if self.current is not None else []
        names = dict.fromkeys((*self.target.hosts(), *members))
        unfinished = any(not self.wanted.complete(session) for session in self.sessions_now)
        crowded = any(self.wanted.waits_for_room(session) for session in self.sessions_now)

        def usable(backend: BackendName, session: SessionName) -> bool:
            if not is_ready(self.wanted.live.get(backend), session):
                return False
            if (backend, session) in self.spots:
                return True
            routed = backend in members and session in self.sessions_now
            return routed and unfinished and not (crowded and backend in self.wanted.tight)

        return [name for name in names if all(usable(name, session) for session in sessions)]

    def pool(self, sessions: Sequence[SessionName], profile: ProfileOf) -> Pool | None:
        """The pool to publish, None when there is nothing to route or nobody to route to."""
        known = {s.session: s for s in self.current.sessions} if self.current is not None else {}
        pooled = [self._pooled(session, known.get(session), profile) for session in sessions]
        present = tuple(session for session in pooled if session is not None)
        if not present:
            return None
        members = self._members([session.session for session in present])
        if not members:
            return None
        return Pool(name=self.name, device=self.target.device, sessions=present, members=members)

    def _least(self, session: SessionName, admitted: Sequence[SessionName]) -> int:
        """How many members must be ready for a session before it may join."""
        able = [name for name in self.hosts(admitted) if not self._failed(name, session)]
        kept = len(able) if admitted else 0
        coming = [
            name
            for name, spare in self.target.hosts().items()
            if not spare and not self._failed(name, session)
        ]
        return max(1, min(len(coming), max(kept, self.served.get(session, 0))))

    def _failed(self, backend: BackendName, session: SessionName) -> bool:
        status = self.wanted.live.get(backend)
        return status is not None and session in status.failed

    def _pooled(
        self, session: SessionName, known: PooledSession | None, profile: ProfileOf
    ) -> PooledSession | None:
        """What the owner must know; without a profile, what it was told before."""
        by_backend = self.target.placements.get(session)
        if by_backend is None:
            return known
        placement = next(iter(by_backend.values()))
        measured = profile(placement, self.target.device)
        if measured is None:
            return known
        return PooledSession(
            session=session,
            slo_us=placement.slo_us,
            batch=placement.batch,
            rate=self.target.rate(session),
            latencies_us=measured.latencies_us,
            overhead_us=measured.preprocess_us + measured.postprocess_us,
            slack_us=placement.slack_us,
            group=placement.group,
        )

    def _members(self, sessions: Sequence[SessionName]) -> tuple[PoolMember, ...]:
        """Those that count first, each group by name: the owner prefers the first."""
        spares = {m.backend: m.spare for m in self.current.members} if self.current else {}
        spares |= self.target.hosts()
        members = [
            PoolMember(backend=name, address=self.wanted.live[name].address, spare=spares[name])
            for name in self.hosts(sessions)
        ]
        return tuple(sorted(members, key=lambda member: (member.spare, member.backend)))


def _serves(pool: Pool, wanted: Wanted) -> bool:
    """Whether some member can still serve all sessions of a published pool."""
    return any(
        all(is_ready(wanted.live.get(member.backend), s.session) for s in pool.sessions)
        for member in pool.members
    )


def _rollouts(wanted: Wanted, published: Sequence[Pool]) -> list[_PoolRollout]:
    targets = pool_targets(wanted)
    current = {pool.name: pool for pool in published}
    for name in targets.keys() & current.keys():
        if targets[name].device != current[name].device:
            # Members are of one type: the old ones stay alone until the new ones are there.
            done = all(wanted.complete(session) for session in targets[name].placements)
            (current if done or not _serves(current[name], wanted) else targets).pop(name)
    spots = frozenset(
        (place.backend, session) for session, places in wanted.places.items() for place in places
    )
    served = {
        session.session: sum(
            is_ready(wanted.live.get(member.backend), session.session) for member in pool.members
        )
        for pool in current.values()
        for session in pool.sessions
    }
    return [
        _PoolRollout(
            name=name,
            wanted=wanted,
            target=targets.get(name) or PoolTarget(name, current[name].device, {}),
            current=current.get(name),
            spots=spots,
            served=served,
        )
        for name in sorted(targets.keys() | current.keys())
    ]
