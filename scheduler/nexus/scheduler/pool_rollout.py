"""Pools on their way from the published table to the target (ADR 0020, in the phases of ADR 0012).

A member must host every session that its pool routes, so it joins once it has loaded them all.
While backends are still loading, the pool routes what it can:

- A session joins a pool (a new one, or one that runs) once that costs the pool no member it has,
  and with it the pool is no smaller than it and the session's old pool together: the old one's
  members leave when its last session does.
- Until then a session that had another pool stays there, even if all its new backends have it, and
  members on their way out stay as long as a session of the pool waits for a place of the target.
- While a session waits in a pool for its next one, no other joins where that takes members from it.
- Members without memory for what is to come leave at once if the pool itself waits for room.
- A member that died or drains is ready for nothing and leaves with the next table.

A pure function of target, published pools and observation, like the rest of the roll-out.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.names import BackendName, DeviceType, PoolName, SessionName
from nexus.core.plan import Placement
from nexus.core.profile import Profile
from nexus.core.routing import Pool, PooledSession, PoolMember
from nexus.scheduler.readiness import Wanted

ProfileOf: TypeAlias = Callable[[Placement, DeviceType], Profile | None]
"""By which profile a placement runs on a device type; None: it is not known (any more)."""


@dataclass(frozen=True, slots=True)
class PoolTarget:
    """What the target says of one pool: each session's placements by backend.

    ``hosts`` are all its backends, and whether each is only a spare.
    """

    name: PoolName
    device: DeviceType
    placements: Mapping[SessionName, Mapping[BackendName, Placement]]
    hosts: Mapping[BackendName, bool]

    def rate(self, session: SessionName, members: Container[BackendName] | None = None) -> float:
        """Items/s planned for a session on ``members``; None: on all."""
        by_backend = self.placements.get(session, {})
        return sum(p.rate for name, p in by_backend.items() if members is None or name in members)


def roll_pools(wanted: Wanted, published: Sequence[Pool], profile: ProfileOf) -> tuple[Pool, ...]:
    """The next pools on the way to the target; a pool without a ready member is left out."""
    rollouts = _rollouts(wanted, published)
    admitted, joined = _admissions(rollouts, profile)
    pools = (
        rollout.pool(sessions, joined, profile)
        for rollout, sessions in zip(rollouts, admitted, strict=True)
    )
    return tuple(pool for pool in pools if pool is not None)


def _admissions(
    rollouts: Sequence["_PoolRollout"], profile: ProfileOf
) -> tuple[list[list[SessionName]], set[SessionName]]:
    """The sessions that each pool admits, and all of these.

    Whether a pool may admit one depends on who still waits in it, which depends on what the other
    pools admit. Sessions may have to swap pools in one table, so at first nobody is taken to wait.
    """
    waiting: set[SessionName] = set()
    while True:
        admitted = [rollout.admitted(waiting, profile) for rollout in rollouts]
        joined = {session for sessions in admitted for session in sessions}
        known = waiting
        waiting = known.union(*(rollout.waiting(joined) for rollout in rollouts))
        if waiting == known:
            return admitted, joined


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
    placements: dict[PoolName, dict[SessionName, dict[BackendName, Placement]]] = {}
    hosts: dict[PoolName, dict[BackendName, bool]] = {}
    devices: dict[PoolName, DeviceType] = {}
    for session, places in wanted.places.items():
        for place in places:
            name, backend = place.placement.pool, place.backend
            if name is not None:
                by_backend = placements.setdefault(name, {}).setdefault(session, {})
                by_backend[backend] = place.placement
                spares = hosts.setdefault(name, {})
                spares[backend] = place.placement.spare and spares.get(backend, True)
                devices[name] = place.plan.device
    return {
        name: PoolTarget(name, devices[name], placements[name], hosts[name])
        for name in sorted(placements)
    }


class _PoolRollout:
    """One pool between what is published (``current``) and what is wanted (``target``)."""

    def __init__(
        self,
        wanted: Wanted,
        target: PoolTarget,
        current: Pool | None,
        served: Mapping[SessionName, AbstractSet[BackendName]],
    ) -> None:
        """``served`` says which members each session has now, in whatever pool."""
        self.name = target.name
        self._wanted = wanted
        self._target = target
        self._current = current
        self._served = served
        sessions = current.sessions if current is not None else ()
        # What the target serves no more has no place in any table.
        self._now = {s.session: s for s in sessions if wanted.successor(s.session) is not None}
        members = current.members if current is not None else ()
        self._members_now = {member.backend: member for member in members}
        self._hosts = tuple(dict.fromkeys((*target.hosts, *self._members_now)))
        crowded = any(wanted.waits_for_room(session) for session in self._now)
        self._staying = frozenset(
            name for name in self._members_now if not (crowded and name in wanted.tight)
        )

    def admitted(self, waiting: Container[SessionName], profile: ProfileOf) -> list[SessionName]:
        """The target's sessions that this pool routes from now on.

        Whoever of those ``waiting`` for another pool is here loses no member by it.
        """
        placements = self._target.placements
        admitted, _ = self._together([s for s in self._now if s in placements], self._staying)
        guests = [s for s in self._now if s in waiting and self._is_expected(s)]
        kept, hosts = self._together([*admitted, *guests], self._staying)
        needed = hosts & self._members_now.keys() if len(kept) > len(admitted) else set()
        for session in placements:
            if session in self._now or self._pooled(session, None, profile) is None:
                continue
            both = hosts & self._usable(session, self._staying)
            least = self._least([*admitted, session], hosts if kept or admitted else set())
            if len(both) >= least and needed <= both:
                admitted.append(session)
                hosts = both
        return admitted

    def waiting(self, joined: Container[SessionName]) -> list[SessionName]:
        """The sessions routed here now that belong elsewhere, and are not served there yet."""
        return [
            session
            for session in self._now
            if session not in self._target.placements
            and session not in joined
            and not self._wanted.arrived(session, joined)
        ]

    def pool(
        self, admitted: Sequence[SessionName], joined: Container[SessionName], profile: ProfileOf
    ) -> Pool | None:
        """The pool to publish, None when there is nothing to route or nobody to route to."""
        waiting = self.waiting(joined)
        unfinished = waiting or not all(
            self._wanted.complete(s) for s in self._now if s in self._target.placements
        )
        staying = self._staying if unfinished else frozenset()
        sessions, hosts = self._together([*admitted, *waiting], staying)
        pooled = [self._pooled(s, self._now.get(s), profile) for s in sorted(sessions)]
        present = tuple(session for session in pooled if session is not None)
        if not present:
            return None
        return Pool(
            name=self.name,
            device=self._target.device,
            sessions=present,
            members=self._members(hosts),
        )

    def _together(
        self, sessions: Iterable[SessionName], staying: AbstractSet[BackendName]
    ) -> tuple[list[SessionName], set[BackendName]]:
        """The sessions that some backends can all serve, and these; a later one may find none."""
        served: list[SessionName] = []
        hosts = set(self._hosts)
        for session in sessions:
            both = hosts & self._usable(session, staying)
            if both:
                served.append(session)
                hosts = both
        return served, hosts

    def _usable(self, session: SessionName, staying: AbstractSet[BackendName]) -> set[BackendName]:
        """The backends that may be members as far as one session is concerned.

        A member on its way out counts only for what it is routed for now: whatever else it still
        has loaded it may be unloading at this moment.
        """
        coming = {
            place.backend
            for place in self._wanted.places.get(session, ())
            if self._wanted.is_ready(place.backend, session)
        }
        if session not in self._now:
            return coming
        return coming | {name for name in staying if self._wanted.is_ready(name, session)}

    def _least(self, sessions: Sequence[SessionName], hosts: AbstractSet[BackendName]) -> int:
        """How many must be ready for the last session before it may join the others' ``hosts``."""
        session = sessions[-1]
        served = self._served.get(session, frozenset())
        kept = {name for name in hosts if not self._failed(name, [session])}
        coming = [
            name
            for name, spare in self._target.hosts.items()
            if not spare and not self._failed(name, sessions)
        ]
        # A backend without room may be waiting for this very session to leave its old pool.
        roomy = sum(name not in self._wanted.tight for name in coming)
        alone = min(len(coming), max(len(kept), len(served)))
        return max(1, alone, min(roomy, len(kept | served)))

    def _is_expected(self, session: SessionName) -> bool:
        """Whether a session will get its places without anybody else's leaving first."""
        name = self._wanted.successor(session)
        return not self._wanted.waits_for_room(session) and not any(
            self._failed(place.backend, [place.placement.session])
            for place in self._wanted.places.get(name or "", ())
        )

    def _failed(self, backend: BackendName, sessions: Container[SessionName]) -> bool:
        """Whether a backend could not load one of these."""
        status = self._wanted.live.get(backend)
        return status is not None and any(session in sessions for session in status.failed)

    def _pooled(
        self, session: SessionName, known: PooledSession | None, profile: ProfileOf
    ) -> PooledSession | None:
        """What the owner must know; without a profile, what it was told before."""
        by_backend = self._target.placements.get(session)
        if by_backend is None:
            return known
        placement = next(iter(by_backend.values()))
        measured = profile(placement, self._target.device)
        if measured is None:
            return known
        return PooledSession(
            session=session,
            slo_us=placement.slo_us,
            batch=placement.batch,
            rate=self._target.rate(session),
            latencies_us=measured.latencies_us,
            preprocess_us=measured.preprocess_us,
            postprocess_us=measured.postprocess_us,
            slack_us=placement.slack_us,
            group=placement.group,
        )

    def _members(self, hosts: Iterable[BackendName]) -> tuple[PoolMember, ...]:
        """Those that count first, each group by name: the owner prefers the first."""
        spares = {name: member.spare for name, member in self._members_now.items()}
        spares |= self._target.hosts
        members = [
            PoolMember(backend=name, address=self._wanted.live[name].address, spare=spares[name])
            for name in hosts
        ]
        return tuple(sorted(members, key=lambda member: (member.spare, member.backend)))


def _serves(pool: Pool, wanted: Wanted) -> bool:
    """Whether some member can still serve all sessions of a published pool."""
    return any(
        all(wanted.is_ready(member.backend, s.session) for s in pool.sessions)
        for member in pool.members
    )


def _rollouts(wanted: Wanted, published: Sequence[Pool]) -> list[_PoolRollout]:
    targets = pool_targets(wanted)
    current = {pool.name: pool for pool in published}
    for name in targets.keys() & current.keys():
        if targets[name].device != current[name].device:
            # Members are of one type: the old ones stay alone until the new ones are there.
            old = (session.session for session in current[name].sessions)
            done = all(wanted.complete(session) for session in (*targets[name].placements, *old))
            (current if done or not _serves(current[name], wanted) else targets).pop(name)
    served = {
        wanted.successor(session.session) or session.session: frozenset(
            member.backend
            for member in pool.members
            if wanted.is_ready(member.backend, session.session)
        )
        for pool in current.values()
        for session in pool.sessions
    }
    return [
        _PoolRollout(
            wanted,
            targets.get(name) or PoolTarget(name, current[name].device, {}, {}),
            current.get(name),
            served,
        )
        for name in sorted(targets.keys() | current.keys())
    ]
