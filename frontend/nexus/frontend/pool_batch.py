"""A batch as the owner of a pool reckons it: where its items went, and until when it grows."""

from dataclasses import dataclass

from nexus.core.names import BackendName, SessionName
from nexus.frontend.batch_latencies import BatchLatencies


@dataclass(slots=True)
class PoolBatch:
    """Items of one session on their way to one backend, to be executed together.

    ``due_us`` is when it must leave the device for its most urgent item. ``ready_us`` is when it is
    expected to be full; once ``closed``, when it was closed. ``start_us`` is when the device is
    expected to be free for it; ``planned_items`` what it is expected to grow to. It is started
    ``slack_us`` before its last moment, as the plan has it.
    """

    session: SessionName
    backend: BackendName
    latencies: BatchLatencies
    items: int
    due_us: int
    start_us: int
    ready_us: int
    planned_items: int
    slack_us: int = 0
    closed: bool = False

    def takes(self, items: int, due_us: int, there_us: int) -> bool:
        """Whether items that are there from ``there_us`` on have a place, and all stay in time."""
        grown = self.items + items
        if self.closed or grown > self.latencies.target:
            return False
        if there_us > self.starts_us(self.start_us):
            return False  # It will have started.
        start_us = max(self.start_us, there_us)
        return start_us + self.latencies.of(grown) <= min(self.due_us, due_us)

    def starts_us(self, free_us: int) -> int:
        """When the backend starts it on a device free at ``free_us``, if nothing more comes.

        The backend defers by the same rule (ADR 0020): a batch that is not full waits until one
        more item could no longer join.
        """
        if self.closed:
            return max(free_us, self.ready_us)
        return max(free_us, self._last_moment_us())

    def ends_us(self, free_us: int) -> int:
        """When the device is expected to have done it, grown as planned."""
        items = self.items if self.closed else max(self.items, self.planned_items)
        return max(free_us, self.ready_us) + self.latencies.of(items)

    def close(self, there_us: int) -> None:
        """Nothing more will join. It has started by itself if its last moment has passed."""
        if self.items < self.latencies.target:
            there_us = min(there_us, self._last_moment_us())
        self.ready_us = there_us
        self.closed = True

    def _last_moment_us(self) -> int:
        return self.due_us - self.latencies.of(self.items + 1) - self.slack_us
