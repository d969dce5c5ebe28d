"""One sequence as the engine keeps it, from its join to its end."""

from collections import deque

from nexus.backend.kernels.cellular.events import Join, SequenceKey

NEVER_US = 1 << 62


class Sequence:
    """How far a sequence is. ``slot`` is None while it waits or is parked.

    ``total`` is its length, None while a stream may be fed more; ``fed`` and ``done`` count steps,
    ``ready`` those that are fed and not done, ``running`` those of them in the chunk under way.
    ``due_us`` is when the oldest of what is ready is wanted. ``order`` is that of arrival.
    ``started``: it has a state that is not zeros. ``idle_since_us`` is when it last had nothing to
    execute, ``latest_us`` until when a whole sequence must have started to be in time.
    """

    __slots__ = (
        "_feeds",
        "done",
        "due_us",
        "fed",
        "idle_since_us",
        "key",
        "latest_us",
        "order",
        "ready",
        "running",
        "slot",
        "started",
        "stream",
        "total",
    )

    def __init__(self, join: Join, order: int) -> None:
        """It has joined, and nothing of it is executed."""
        self.key: SequenceKey = join.key
        self.order = order
        self.stream = join.steps is None
        self.total = join.steps
        self.fed = 0
        self.done = 0
        self.ready = 0
        self.due_us = NEVER_US
        self.running = 0
        self.slot: int | None = None
        self.started = join.resumes
        self.idle_since_us = 0
        self.latest_us = NEVER_US
        self._feeds: deque[tuple[int, int]] = deque()
        if join.steps:
            self.feed(join.steps, join.deadline_us)

    @property
    def finished(self) -> bool:
        """Whether nothing is left of it."""
        return self.done == self.total

    def feed(self, steps: int, deadline_us: int | None) -> None:
        """More steps are here."""
        self.fed += steps
        self.ready += steps
        self._feeds.append((self.fed, NEVER_US if deadline_us is None else deadline_us))
        self.due_us = self._feeds[0][1]

    def advance(self, steps: int) -> None:
        """Steps were executed."""
        self.done += steps
        self.ready -= steps
        self.started = True
        while self._feeds and self._feeds[0][0] <= self.done:
            self._feeds.popleft()
        self.due_us = self._feeds[0][1] if self._feeds else NEVER_US
