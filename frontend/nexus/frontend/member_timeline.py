"""When a backend of a pool will be free, as its owner reckons: what it sent, and what it hears.

Batches are executed in the order in which they were begun to be filled, except where a more urgent
one went ahead of others that can wait. Unless the backend says otherwise (BatchStarted), one is
taken to start as the rule of deferral has it. A backend knows no batches, but a queue: what it
starts is counted in items, since small batches that waited for it run as one.
"""

from typing import NamedTuple

from nexus.core.names import BackendName, SessionName
from nexus.frontend.batch_latencies import BatchLatencies
from nexus.frontend.pool_batch import PoolBatch


class Started(NamedTuple):
    """A backend will be busy for ``busy_us`` with ``items``; ``queued_items`` still wait there.

    Both count all that is batched together with the session.
    """

    items: int
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
    ) -> None:
        """The backend started a batch of ``session``: correct the reckoning."""
        early_items = _take(self._unheard, session, said.items)
        coming_items = self._coming_items(session, early_items)
        _take(self._waiting, session, early_items)
        self._restore_overtaken(now_us)
        self._running_until_us = now_us + said.busy_us
        self._forget_given_up(session, said.queued_items + coming_items)
        self._keep_the_rest(session, latencies, said.queued_items, now_us)
        self.free_us(now_us)

    def holds(self, batch: PoolBatch) -> bool:
        """Whether the batch is still to start here, as far as is known."""
        return any(other is batch for other in self._waiting)

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

    def _restore_overtaken(self, now_us: int) -> None:
        """What was taken to have started before this one, and was not heard of, still waits.

        Unless it was given up, because it could no longer be in time.
        """
        waiting = [b for b in self._unheard if b.due_us > now_us + b.latencies.of(1)]
        self._unheard = []
        self._waiting[:0] = waiting

    def _coming_items(self, session: SessionName, early_items: int) -> int:
        """Items that may be on their way: those of the newest batch, all others are there.

        Not if some of the ``early_items`` are its own: what a batch starts without has missed it.
        """
        *there, newest = [b.items for b in self._waiting if b.session == session] or [0]
        return newest if early_items <= sum(there) else 0

    def _forget_given_up(self, session: SessionName, items_max: int) -> None:
        """What is neither queued nor on its way was given up there: late, or cancelled."""
        _take(self._waiting, session, max(0, self._items(session) - items_max))

    def _keep_the_rest(
        self, session: SessionName, latencies: BatchLatencies, queued_items: int, now_us: int
    ) -> None:
        """What is queued beyond what is known missed the batch, and goes before the others.

        Or a frontend that could not ask sent it; or the owner is new.
        """
        missed = min(queued_items - self._items(session), latencies.target)
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

    def _items(self, session: SessionName) -> int:
        return sum(batch.items for batch in self._waiting if batch.session == session)


def _take(batches: list[PoolBatch], session: SessionName, items: int) -> int:
    """Take so many items of a session from its first batches; return how many were not there."""
    for batch in batches:
        if batch.session == session:
            taken = min(items, batch.items)
            batch.items -= taken
            items -= taken
    batches[:] = [batch for batch in batches if batch.items]
    return items
