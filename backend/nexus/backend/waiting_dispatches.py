"""Every dispatch that is here and not executing: in the pool, or in its session's queue."""

from collections.abc import Iterator

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.hosted_session import HostedSession
from nexus.backend.session_queue import Queued
from nexus.core.request import Dispatch


class WaitingDispatches:
    """Finds a waiting dispatch by its key, and keeps its session's counts and queue in step."""

    def __init__(self) -> None:
        """Start with none."""
        self._preparing: dict[DispatchKey, tuple[HostedSession, Queued]] = {}
        self._queued: dict[DispatchKey, HostedSession] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        """How many dispatches wait."""
        return len(self._preparing) + len(self._queued)

    @property
    def queued(self) -> bool:
        """Whether any dispatch waits for the device."""
        return bool(self._queued)

    def admit(
        self, session: HostedSession, key: DispatchKey, dispatch: Dispatch, due_us: int, now_us: int
    ) -> None:
        """A dispatch arrived and goes to the pool; the shell sees to it that keys are unique."""
        assert key not in self._preparing, key
        assert key not in self._queued, key
        self._arrivals += 1
        queued = Queued(due_us, self._arrivals, key, dispatch.items, now_us)
        self._preparing[key] = (session, queued)
        session.preparing += 1
        session.preparing_items += dispatch.items

    def prepared(self, key: DispatchKey) -> tuple[HostedSession, Queued] | None:
        """The pool is through with it; None when it was withdrawn meanwhile."""
        prepared = self._preparing.pop(key, None)
        if prepared is not None:
            session, queued = prepared
            session.preparing -= 1
            session.preparing_items -= queued.items
        return prepared

    def enqueue(self, session: HostedSession, queued: Queued) -> None:
        """A prepared dispatch now waits for the device."""
        session.queue.push(queued)
        self._queued[queued.key] = session

    def take(self, session: HostedSession, count: int) -> tuple[Queued, ...]:
        """Remove the ``count`` most urgent dispatches of the session's queue."""
        taken = session.queue.take(count)
        for queued in taken:
            del self._queued[queued.key]
        return taken

    def withdraw(self, key: DispatchKey) -> bool:
        """Remove a dispatch wherever it waits, and say whether it did."""
        if self.prepared(key) is not None:
            return True
        session = self._queued.pop(key, None)
        return session is not None and session.queue.cancel(key)

    def of_connection(self, connection: int) -> Iterator[DispatchKey]:
        """The waiting dispatches that came over a connection."""
        keys = (*self._preparing, *self._queued)
        return (key for key in keys if key.connection == connection)
