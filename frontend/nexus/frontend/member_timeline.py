"""When a backend of a pool will be free, as its owner reckons: what it sent, and what it hears.

Batches are executed in the order in which they were begun to be filled, except where a more urgent
one went ahead of others that can wait. Unless the backend says otherwise (BatchStarted), one is
taken to start as the rule of deferral has it.
"""

from typing import NamedTuple

from nexus.core.names import BackendName, SessionName
from nexus.frontend.batch_latencies import BatchLatencies
from nexus.frontend.pool_batch import PoolBatch


class Started(NamedTuple):
    """A backend will be busy for ``busy_us``; ``queued_items`` of the session still wait there."""

    busy_us: int
    queued_items: int = 0


class MemberTimeline:
    """One backend: what runs, and what waits there."""

    def __init__(self, backend: BackendName, *, spare: bool) -> None:
        """Begin knowing nothing: it counts as free until it is heard of."""
        self.backend = backend
        self.spare = spare
        self._running_until_us = 0
        self._waiting: list[PoolBatch] = []
        self._unheard: list[PoolBatch] = []
        self._heard: tuple[SessionName, int] = ("", 0)

    def free_us(self, now_us: int) -> int:
        """When it is expected to have done all it was sent."""
        if self._waiting:
            self._start_what_is_due(now_us)
        free_us = self._running_until_us
        for batch in self._waiting:
            batch.start_us = free_us
            free_us = batch.ends_us(free_us)
        return free_us

    def opening(
        self, batch_us: int, ready_us: int, latest_us: int, now_us: int
    ) -> tuple[int, int] | None:
        """Where a batch that cannot go behind all others can go before some; None: nowhere.

        Returns the position, and when the device is free there. The batch takes ``batch_us``, is
        full at ``ready_us`` and must start by ``latest_us``; those behind it must still be in time.
        """
        if self._waiting:
            self._start_what_is_due(now_us)
        free_us = self._running_until_us
        for position, behind in enumerate(self._waiting):
            if free_us > latest_us:
                return None
            end_us = max(free_us, ready_us) + batch_us
            # The backend starts what is full as soon as it can.
            kept = behind.closed and max(free_us, now_us) < ready_us
            if not kept and self._can_wait(position, end_us):
                return position, free_us
            free_us = behind.ends_us(free_us)
        return None

    def add(self, batch: PoolBatch, position: int | None = None) -> None:
        """A batch was begun here: behind all others, or at a position that ``opening`` found."""
        self._waiting.insert(len(self._waiting) if position is None else position, batch)

    def clear(self) -> tuple[PoolBatch, ...]:
        """Forget everything, and return what had not started."""
        waiting = tuple(self._waiting)
        self._waiting = []
        self._unheard = []
        self._running_until_us = 0
        return waiting

    def started(
        self, session: SessionName, latencies: BatchLatencies, said: Started, now_us: int
    ) -> PoolBatch | None:
        """The backend started a batch: correct the reckoning; return which one it was, if known."""
        batch = None
        if not self._is_told_again(session, now_us):
            batch = self._take_started(session)
            self._heard = (session, now_us + said.busy_us // 2)
            self._restore_overtaken(now_us)
        self._running_until_us = now_us + said.busy_us
        self._keep_the_rest(session, latencies, said.queued_items, now_us)
        self.free_us(now_us)
        return batch

    def _can_wait(self, position: int, until_us: int) -> bool:
        """Whether all that wait from ``position`` on are in time if the device is busy until."""
        for batch in self._waiting[position:]:
            until_us = batch.ends_us(until_us)
            if until_us > batch.due_us:
                return False
        return True

    def _start_what_is_due(self, now_us: int) -> None:
        while self._waiting:
            batch = self._waiting[0]
            start_us = batch.starts_us(self._running_until_us)
            if start_us > now_us:
                return
            del self._waiting[0]
            batch.closed = True
            # Who hears of nothing must not remember all.
            self._unheard = [other for other in self._unheard if other.due_us > now_us]
            self._unheard.append(batch)
            self._running_until_us = start_us + batch.latencies.of(batch.items)

    def _is_told_again(self, session: SessionName, now_us: int) -> bool:
        """Whether it is the batch heard of just now: one of a group is told of for each session.

        A device runs one batch at a time, so another cannot have started yet.
        """
        heard, until_us = self._heard
        return heard == session and now_us < until_us

    def _take_started(self, session: SessionName) -> PoolBatch | None:
        for batches in (self._unheard, self._waiting):
            for position, batch in enumerate(batches):
                if batch.session == session:
                    batch.closed = True
                    return batches.pop(position)
        return None

    def _restore_overtaken(self, now_us: int) -> None:
        """What was taken to have started before this one, and was not heard of, still waits.

        Unless it was given up, because it could no longer be in time.
        """
        waiting = [b for b in self._unheard if b.due_us > now_us + b.latencies.of(1)]
        self._unheard = []
        self._waiting[:0] = waiting

    def _keep_the_rest(
        self, session: SessionName, latencies: BatchLatencies, queued_items: int, now_us: int
    ) -> None:
        """What is queued beyond what is known missed the batch, and goes before the others.

        Or a frontend that could not ask sent it; or the owner is new.
        """
        known = sum(batch.items for batch in self._waiting if batch.session == session)
        missed = min(queued_items - known, latencies.target)
        if missed > 0:
            rest = PoolBatch(
                session=session,
                backend=self.backend,
                latencies=latencies,
                items=missed,
                due_us=self._running_until_us,
                start_us=self._running_until_us,
                ready_us=now_us,
                planned_items=missed,
                closed=True,
            )
            self._waiting.insert(0, rest)
