"""One session of a pool: the batch that is being filled, and how fast batches fill (ADR 0020)."""

from nexus.core.routing import PooledSession
from nexus.core.units import US_PER_S
from nexus.frontend.batch_latencies import BatchLatencies
from nexus.frontend.entitlement import Entitlement
from nexus.frontend.pool_batch import PoolBatch

_GAP_WEIGHT = 0.2
"""What one more batch counts in the average time between items: about five batches are seen."""


class BatchFilling:
    """``batch`` is the one being filled, or None; ``gap_us`` the mean time between two items."""

    def __init__(self, session: PooledSession, share: float) -> None:
        """``share`` is how many devices' time the session is entitled to."""
        self.session = session
        self.latencies = BatchLatencies(session.latencies_us, session.batch)
        self.batch: PoolBatch | None = None
        self.gap_us = US_PER_S / session.rate if session.rate > 0 else 0.0
        target = self.latencies.target
        self.entitlement = Entitlement(share, self.latencies.of(target), target)
        self._opened_us = 0
        self._arrived_items = 0

    def join(self, items: int, due_us: int, there_us: int) -> PoolBatch | None:
        """The batch that is being filled, with ``items`` more; None when they cannot join one.

        The items are preprocessed, and can be executed, from ``there_us`` on.

        A batch is closed when it could not grow for anybody. What is only too urgent itself, as one
        of a group may be, leaves it open for others: else each such item, refused in the end, would
        cut short the batch of those who can wait, until small batches are all that fits.
        """
        batch = self.batch
        if batch is None:
            return None
        self._arrived_items += items
        if not batch.takes(items, batch.due_us, there_us):
            self._close(batch, there_us)
            return None
        if not batch.takes(items, due_us, there_us):
            return None
        batch.items += items
        batch.due_us = min(batch.due_us, due_us)
        if batch.items >= self.latencies.target:
            self._close(batch, there_us)
        return batch

    def begin(self, batch: PoolBatch, there_us: int) -> None:
        """Fill this one, whose first are there from then on, and close the one before."""
        if self.batch is not None:
            self._close(self.batch, there_us)
        self._opened_us = there_us
        self._arrived_items = batch.items
        self.batch = batch
        if batch.items >= self.latencies.target:
            batch.close(there_us)
            self.batch = None

    def abandon(self) -> None:
        """Fill it no more: it has started, or its backend was lost."""
        self.batch = None

    def _close(self, batch: PoolBatch, there_us: int) -> None:
        batch.close(there_us)
        self.batch = None
        # The first item opened the batch: the gaps are those between the others.
        gap_us = (there_us - self._opened_us) / max(1, self._arrived_items - 1)
        self.gap_us += _GAP_WEIGHT * (gap_us - self.gap_us)
