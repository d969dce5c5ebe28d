"""Every dispatch that is here and not executing: in the pool, or in its group's queue."""

from collections.abc import Sequence

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.hosted_group import HostedGroup
from nexus.backend.hosted_session import HostedSession
from nexus.core.request import Dispatch


class WaitingDispatches:
    """Finds a waiting dispatch by its key, and keeps its session's count and queue in step."""

    def __init__(self) -> None:
        """Start with none."""
        self._preparing: dict[DispatchKey, tuple[Queued, HostedSession]] = {}
        self._queued: dict[DispatchKey, tuple[Queued, HostedSession]] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        """How many dispatches wait."""
        return len(self._preparing) + len(self._queued)

    @property
    def queued(self) -> bool:
        """Whether any dispatch waits for the device."""
        return bool(self._queued)

    def admit(
        self, session: HostedSession, key: DispatchKey, dispatch: Dispatch, due_us: int
    ) -> Queued:
        """A dispatch arrived; the shell sees to it that keys are unique."""
        assert key not in self._preparing, key
        assert key not in self._queued, key
        self._arrivals += 1
        session.items += dispatch.items
        return Queued(due_us, self._arrivals, key, dispatch.items, dispatch.session)

    def prepare(self, session: HostedSession, queued: Queued) -> None:
        """An admitted dispatch goes to the pool."""
        self._preparing[queued.key] = queued, session

    def preparing(self, key: DispatchKey) -> tuple[Queued, HostedSession] | None:
        """A dispatch that is in the pool; None when it was withdrawn."""
        return self._preparing.get(key)

    def prepared(self, key: DispatchKey) -> None:
        """The pool is through with it; it is enqueued next."""
        del self._preparing[key]

    def enqueue(self, session: HostedSession, queued: Queued) -> None:
        """An admitted dispatch now waits for the device."""
        session.group.queue.push(queued)
        self._queued[queued.key] = queued, session

    def take(self, group: HostedGroup, count: int) -> Sequence[Queued]:
        """Remove the ``count`` most urgent dispatches of a group's queue."""
        taken = group.queue.take(count)
        for queued in taken:
            _, session = self._queued.pop(queued.key)
            session.items -= queued.items
        return taken

    def withdraw(self, key: DispatchKey) -> bool:
        """Remove a dispatch wherever it waits, and say whether it did."""
        found = self._preparing.pop(key, None)
        if found is None:
            found = self._queued.pop(key, None)
            if found is None:
                return False
            found[1].group.queue.remove(found[0])
        found[1].items -= found[0].items
        return True

    def of_connection(self, connection: int) -> list[DispatchKey]:
        """The waiting dispatches that came over a connection."""
        keys = (*self._preparing, *self._queued)
        return [key for key in keys if key.connection == connection]
