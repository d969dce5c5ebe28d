"""The owner of a pool: it alone decides which backend each item of the pool's sessions goes to.

ADR 0020, after Symphony (nexus.md 4). It deals in metadata only, and holds no payload. For every
session it fills one batch on one backend: each request goes there until the batch is full or a
further item would make it late; then the next batch is begun, on a backend that will be free by the
time it is full. The backends defer their batches by the same rule, so the owner knows when each
starts and ends; BatchStarted corrects it. What could not be in time is refused at the door.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from nexus.core.names import BackendName, SessionName
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.routing import Pool, PooledSession
from nexus.core.units import US_PER_S, ms_from_us
from nexus.frontend.batch_filling import BatchFilling
from nexus.frontend.batch_latencies import BatchLatencies
from nexus.frontend.limits import NO_ROUTE_RETRY_US
from nexus.frontend.member_timeline import MemberTimeline, Started
from nexus.frontend.outcomes import overloaded
from nexus.frontend.pool_batch import PoolBatch
from nexus.frontend.pool_thrift import PoolLoad

Placed: TypeAlias = BackendName | Outcome
"""Where items go, or why they are refused."""
_Opening: TypeAlias = tuple[MemberTimeline, int, int | None]
"""A member, when it is free for the batch, and which of those waiting there it goes before."""


class _Wanted(NamedTuple):
    """Items to be off the device by ``due_us``, that can join a batch from ``there_us``."""

    items: int
    due_us: int
    there_us: int


class _Need(NamedTuple):
    """When a device must be free for a batch that is full at ``ready_us``.

    At ``latest_us`` to be in time; by ``entitled_us`` on a member, given what the session has had;
    and by ``surely_us`` to be so although others get in the way, as the plan allows for.
    """

    ready_us: int
    latest_us: int
    entitled_us: int
    surely_us: int


class PoolOwner:
    """All decisions about one pool; without I/O, clock or randomness."""

    def __init__(self, pool: Pool, reachable: Iterable[BackendName], *, travel_us: int) -> None:
        """``travel_us`` is kept free of each deadline, for the way to a backend and back."""
        self._travel_us = travel_us
        self._fillings: dict[SessionName, BatchFilling] = {}
        self._timelines: dict[BackendName, MemberTimeline] = {}
        self._reachable = set(reachable)
        self._load = PoolLoad(max((s.slo_us for s in pool.sessions), default=1))
        self.update(pool)

    def update(self, pool: Pool) -> None:
        """Take the pool as a new table has it; what stays the same keeps its batches."""
        self.pool = pool
        together = _together(pool.sessions)
        shares = _shares(pool, [one for one, _ in together])
        before = self._fillings
        self._fillings = {}
        for one, names in together:
            filling = _kept(before.get(one.session), one, shares[one.session])
            self._fillings |= dict.fromkeys(names, filling)
        self._timelines = {
            member.backend: self._timelines.get(member.backend)
            or MemberTimeline(member.backend, spare=member.spare)
            for member in pool.members
        }
        for member in pool.members:
            self._timelines[member.backend].spare = member.spare
        self._abandon_lost()
        self._index_members()

    @property
    def has_members(self) -> bool:
        """Whether any backend of the pool can be reached."""
        return bool(self._members or self._spares)

    def serves(self, session: SessionName) -> bool:
        """Whether the session belongs to the pool."""
        return session in self._fillings

    def target(self, session: SessionName) -> int:
        """The batch that is filled of a session."""
        return self._fillings[session].latencies.target

    def unloaded_us(self, session: SessionName) -> int:
        """How long one item takes on an idle backend that does not wait for more."""
        filling = self._fillings[session]
        return filling.latencies.of(1) + _processing_us(filling.session) + self._travel_us

    def found(self, backend: BackendName) -> None:
        """A backend can be reached."""
        self._reachable.add(backend)
        if backend in self._timelines:
            self._index_members()

    def lost(self, backend: BackendName) -> None:
        """A backend takes no more; what it had is forgotten (the frontends repeat it)."""
        self._reachable.discard(backend)
        timeline = self._timelines.get(backend)
        if timeline is not None:
            timeline.clear()
            self._abandon_lost()
            self._index_members()

    def batch_started(
        self, backend: BackendName, session: SessionName, said: Started, now_us: int
    ) -> None:
        """A backend says what it began: the truth, where the reckoning was an estimate."""
        timeline, filling = self._timelines.get(backend), self._fillings.get(session)
        if timeline is None or filling is None:
            return
        timeline.started(filling.session.session, filling.latencies, said, now_us)
        batch = filling.batch
        if batch is not None and batch.backend == backend and not timeline.holds(batch):
            filling.abandon()

    def place(
        self,
        session: SessionName,
        items: int,
        deadline_us: int,
        now_us: int,
        avoid: BackendName = "",
    ) -> Placed:
        """Say where ``items`` of a session go; not to ``avoid``, which refused them."""
        filling = self._fillings[session]
        due_us = deadline_us - self._travel_us - items * filling.session.postprocess_us
        there_us = now_us + items * filling.session.preprocess_us
        if avoid and filling.batch is not None and filling.batch.backend == avoid:
            filling.abandon()
        batch = filling.join(items, due_us, there_us)
        if batch is None:
            batch = self._begin(filling, _Wanted(items, due_us, there_us), now_us, avoid)
        if batch is None:
            return self._refusal(session, items, deadline_us, now_us)
        return batch.backend

    def expected_us(self, session: SessionName, now_us: int) -> int | None:
        """How long one item would take if it came now; None when no backend can be reached."""
        if not self.has_members:
            return None
        filling = self._fillings[session]
        after_us = filling.session.postprocess_us + self._travel_us
        due_us = now_us + filling.session.slo_us - after_us
        there_us = now_us + filling.session.preprocess_us
        batch, items = filling.batch, 1
        if batch is not None and batch.takes(1, due_us, there_us):
            start_us, items = batch.start_us, batch.items + 1
        else:
            start_us = self._start_us(filling.latencies.of(1), due_us, there_us, now_us)
        return max(there_us, start_us) - now_us + filling.latencies.of(items) + after_us

    def _start_us(self, item_us: int, due_us: int, there_us: int, now_us: int) -> int:
        """When an item would start that cannot join a batch: behind all others, or before them."""
        start_us = min(member.free_us(now_us) for member in self._members + self._spares)
        latest_us = due_us - item_us
        if start_us <= latest_us:
            return start_us
        opening = self._go_ahead(item_us, there_us, latest_us, now_us, "")
        return start_us if opening is None else opening[1]

    def _begin(
        self, filling: BatchFilling, wanted: _Wanted, now_us: int, avoid: BackendName
    ) -> PoolBatch | None:
        latencies = filling.latencies
        items, due_us, there_us = wanted
        early_us = due_us - filling.session.slack_us
        planned = max(items, latencies.largest_within(early_us - there_us, filling.gap_us))
        full_us = there_us + int(filling.gap_us * (planned - 1))
        ready_us = max(there_us, min(full_us, early_us - latencies.of(planned)))
        thrift = self._load.thrift(len(self._members), now_us)
        least = max(items, latencies.good_enough(planned, thrift))
        latest_us = due_us - latencies.of(least)
        if there_us > latest_us:
            return None
        entitled_us = self._entitled_us(filling, latest_us, ready_us, now_us)
        need = _Need(ready_us, latest_us, entitled_us, entitled_us - filling.session.slack_us)
        chosen = self._choose(need, now_us, avoid) or self._go_ahead(
            latencies.of(least), ready_us, entitled_us, now_us, avoid
        )
        if chosen is None:
            filling.entitlement.refused(now_us + filling.session.slo_us)
            return None
        member, free_us, position = chosen
        left_us = due_us - max(ready_us, free_us)
        planned = max(items, min(planned, latencies.largest_within(left_us, 0.0)))
        batch = PoolBatch(
            session=filling.session.session,
            backend=member.backend,
            latencies=latencies,
            items=items,
            due_us=due_us,
            start_us=free_us,
            ready_us=ready_us,
            planned_items=planned,
            slack_us=filling.session.slack_us,
        )
        member.add(batch, position)
        filling.begin(batch, there_us)
        self._load.spend(latencies.of(planned))
        filling.entitlement.spend(latencies.of(planned))
        return batch

    def _choose(self, need: _Need, now_us: int, avoid: BackendName) -> _Opening | None:
        """The member for a batch, and when it is free; a spare where none is surely free in time.

        Nobody is more entitled to a spare than others.
        """
        limits = [(self._members, need.entitled_us)]
        if self._spares:
            limits = [(self._members, need.surely_us), (self._spares, need.latest_us), *limits]
        for members, limit_us in limits:
            able = [m for m in members if m.backend != avoid] if avoid else members
            chosen = _best(able, need.ready_us, limit_us, now_us)
            if chosen is not None:
                return (*chosen, None)
        return None

    def _go_ahead(
        self, batch_us: int, ready_us: int, latest_us: int, now_us: int, avoid: BackendName
    ) -> _Opening | None:
        """The member where the batch can go before others that can wait: most of them gather."""
        for member in (*self._members, *self._spares):
            if member.backend != avoid:
                opening = member.opening(batch_us, ready_us, latest_us, now_us)
                if opening is not None:
                    position, free_us = opening
                    return member, free_us, position
        return None

    def _entitled_us(
        self, filling: BatchFilling, latest_us: int, ready_us: int, now_us: int
    ) -> int:
        """When a device must be free for it at the latest, given what else it is entitled to."""
        if all(other is filling for other in self._fillings.values()):
            return latest_us
        filling.entitlement.earn(now_us)
        if not filling.entitlement.in_debt:
            return latest_us
        if any(other.entitlement.is_starving(now_us) for other in self._fillings.values()):
            return -1
        return min(latest_us, ready_us)

    def _refusal(self, name: SessionName, items: int, deadline_us: int, now_us: int) -> Outcome:
        filling = self._fillings[name]
        left_us = deadline_us - now_us
        expected_us = self.expected_us(name, now_us)
        if expected_us is None:
            return dropped(
                DropReason.NO_ROUTE,
                f"no backend of pool {self.pool.name!r} can be reached; they start, or were lost",
                retry_after_us=NO_ROUTE_RETRY_US,
            )
        fastest_us = (
            filling.latencies.of(items) + items * _processing_us(filling.session) + self._travel_us
        )
        if fastest_us > left_us:
            return dropped(
                DropReason.DEADLINE,
                f"session {name!r} needs {ms_from_us(fastest_us):g} ms even unloaded; "
                f"{ms_from_us(max(0, left_us)):g} ms are left",
            )
        return overloaded(f"session {name!r}", max(expected_us, fastest_us), left_us)

    def _abandon_lost(self) -> None:
        """No batch is filled on a backend that is gone."""
        for filling in self._fillings.values():
            batch = filling.batch
            if batch is not None and not (
                batch.backend in self._reachable and batch.backend in self._timelines
            ):
                filling.abandon()

    def _index_members(self) -> None:
        here = [t for name, t in self._timelines.items() if name in self._reachable]
        self._members = [timeline for timeline in here if not timeline.spare]
        self._spares = [timeline for timeline in here if timeline.spare]


def _best(
    members: Iterable[MemberTimeline], ready_us: int, latest_us: int, now_us: int
) -> tuple[MemberTimeline, int] | None:
    """The member for a batch that is full at ``ready_us`` and must start by ``latest_us``.

    Best the busy one that is free last but in time; idle ones are left to whoever needs one at
    once, and are taken in their order, so that what is not needed stays unused. Failing
    both, the one that is free first.
    """
    best: tuple[tuple[int, int], MemberTimeline, int] | None = None
    for member in members:
        free_us = member.free_us(now_us)
        if free_us > latest_us:
            continue
        if free_us <= now_us:
            rank = (1, 0)
        elif free_us <= ready_us:
            rank = (0, -free_us)
        else:
            rank = (2, free_us)
        if best is None or rank < best[0]:
            best = (rank, member, free_us)
    return None if best is None else (best[1], best[2])


def _kept(before: BatchFilling | None, session: PooledSession, share: float) -> BatchFilling:
    if before is not None and before.session == session:
        before.entitlement.share = share
        return before
    return BatchFilling(session, share)


def _together(
    sessions: Iterable[PooledSession],
) -> list[tuple[PooledSession, tuple[SessionName, ...]]]:
    """What is filled together: its names, and all of it as one session, that of the tightest."""
    groups: dict[tuple[bool, str], list[PooledSession]] = {}
    for session in sessions:
        key = (session.group is not None, session.group or session.session)
        groups.setdefault(key, []).append(session)
    together = []
    for members in groups.values():
        tightest = min(members, key=lambda member: (member.slo_us, member.session))
        one = replace(tightest, rate=sum(member.rate for member in members))
        together.append((one, tuple(member.session for member in members)))
    return together


def _processing_us(session: PooledSession) -> int:
    return session.preprocess_us + session.postprocess_us


def _work_us(session: PooledSession) -> float:
    """Device time of one item, in the batch that gathers in time at the planned rate."""
    latencies = BatchLatencies(session.latencies_us, session.batch)
    gap_us = US_PER_S / session.rate if session.rate > 0 else 0.0
    left_us = session.slo_us - session.slack_us - _processing_us(session)
    batch = latencies.largest_within(left_us, gap_us)
    return latencies.of(batch) / batch


def _shares(pool: Pool, sessions: Iterable[PooledSession]) -> dict[SessionName, float]:
    """How many devices' time each session is entitled to: all of it, by planned work."""
    work = {session.session: session.rate * _work_us(session) for session in sessions}
    devices = sum(not member.spare for member in pool.members)
    total = sum(work.values())
    return {name: devices * part / total if total else 0.0 for name, part in work.items()}
