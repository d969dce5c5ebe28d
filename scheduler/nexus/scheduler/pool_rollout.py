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
    admitted = [rollout.admitted() for rollout in rollouts]
    joined = {session for sessions in admitted for session in sessions}
    pools = (
        rollout.pool(rollout.routed(sessions, joined), profile)
        for rollout, sessions in zip(rollouts, admitted, strict=True)
    )
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
        served: Mapping[SessionName, int],
    ) -> None:
        """``served`` says how many members each session has now, in whatever pool."""
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
        unfinished = not all(wanted.complete(session) for session in self._now)
        crowded = any(wanted.waits_for_room(session) for session in self._now)
        self._staying = {
            name
            for name in self._members_now
            if unfinished and not (crowded and name in wanted.tight)
        }

    def admitted(self) -> list[SessionName]:
        """The target's sessions that this pool routes from now on."""
        admitted, hosts = self._stayers()
        for session in self._target.placements:
            if session in self._now:
                continue
            both = hosts & self._usable(session)
            if len(both) >= self._least(session, hosts if admitted else set()):
                admitted.append(session)
                hosts = both
        return admitted

    def routed(self, admitted: Iterable[SessionName], joined: Container[SessionName]) -> list[str]:
        """The sessions admitted, and those that wait here for their new place."""
        routed = list(admitted)
        hosts = self._usable_for_all(routed)
        for session in self._now:
            leaving = session not in self._target.placements and session not in joined
            if leaving and not self._wanted.complete(session):
                both = hosts & self._usable(session)
                if both:
                    routed.append(session)
                    hosts = both
        return sorted(routed)

    def _stayers(self) -> tuple[list[SessionName], set[BackendName]]:
        """Sessions routed now that also belong here, less those no host has; and their hosts."""
        stayers: list[SessionName] = []
        hosts = set(self._hosts)
        for session in self._now:
            both = hosts & self._usable(session)
            if session in self._target.placements and both:
                stayers.append(session)
                hosts = both
        return stayers, hosts

    def _usable(self, session: SessionName) -> set[BackendName]:
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
        return coming | {name for name in self._staying if self._wanted.is_ready(name, session)}

    def _usable_for_all(self, sessions: Iterable[SessionName]) -> set[BackendName]:
        hosts = set(self._hosts)
        for session in sessions:
            hosts &= self._usable(session)
        return hosts

    def pool(self, sessions: Sequence[SessionName], profile: ProfileOf) -> Pool | None:
        """The pool to publish, None when there is nothing to route or nobody to route to."""
        pooled = [self._pooled(session, self._now.get(session), profile) for session in sessions]
        present = tuple(session for session in pooled if session is not None)
        if not present:
            return None
        members = self._members([session.session for session in present])
        if not members:
            return None
        return Pool(name=self.name, device=self._target.device, sessions=present, members=members)

    def _least(self, session: SessionName, hosts: AbstractSet[BackendName]) -> int:
        """How many members must be ready for a session before it may join those of ``hosts``."""
        kept = sum(not self._failed(name, session) for name in hosts)
        coming = sum(
            not spare and not self._failed(name, session)
            for name, spare in self._target.hosts.items()
        )
        return max(1, min(coming, max(kept, self._served.get(session, 0))))

    def _failed(self, backend: BackendName, session: SessionName) -> bool:
        status = self._wanted.live.get(backend)
        return status is not None and session in status.failed

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
            overhead_us=measured.preprocess_us + measured.postprocess_us,
            slack_us=placement.slack_us,
            group=placement.group,
        )

    def _members(self, sessions: Sequence[SessionName]) -> tuple[PoolMember, ...]:
        """Those that count first, each group by name: the owner prefers the first."""
        spares = {name: member.spare for name, member in self._members_now.items()}
        spares |= self._target.hosts
        members = [
            PoolMember(backend=name, address=self._wanted.live[name].address, spare=spares[name])
            for name in self._usable_for_all(sessions)
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
            done = all(wanted.complete(session) for session in targets[name].placements)
            (current if done or not _serves(current[name], wanted) else targets).pop(name)
    served = {
        session.session: sum(
            wanted.is_ready(member.backend, session.session) for member in pool.members
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
