"""Every dispatch that is here and not executing: in the pool, or in its group's queue."""

from collections.abc import Iterator, Sequence

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.hosted_group import HostedGroup
from nexus.backend.hosted_session import HostedSession
from nexus.core.request import Dispatch


class WaitingDispatches:
    """Finds a waiting dispatch by its key, and keeps its session's count and queue in step."""

    def __init__(self) -> None:
        """Start with none."""
        self._here: dict[DispatchKey, tuple[Queued, HostedSession]] = {}
        self._preparing: set[DispatchKey] = set()
        self._arrivals = 0

    def __len__(self) -> int:
        """How many dispatches wait."""
        return len(self._here)

    def __iter__(self) -> Iterator[tuple[Queued, HostedSession]]:
        """Each of them with its session, in the order of their arrival."""
        return iter(self._here.values())

    @property
    def queued(self) -> bool:
        """Whether any dispatch waits for the device."""
        return len(self._here) > len(self._preparing)

    def admit(
        self, session: HostedSession, key: DispatchKey, dispatch: Dispatch, due_us: int
    ) -> Queued:
        """A dispatch arrived, and is prepared or enqueued next; the shell keeps keys unique."""
        assert key not in self._here, key
        self._arrivals += 1
        session.items += dispatch.items
        queued = Queued(due_us, self._arrivals, key, dispatch.items, dispatch.session)
        self._here[key] = queued, session
        return queued

    def readmit(self, session: HostedSession, queued: Queued) -> None:
        """One that was taken waits again, whatever the limits say: it must begin anew."""
        session.items += queued.items
        self._here[queued.key] = queued, session
        session.group.queue.push(queued)

    def prepare(self, key: DispatchKey) -> None:
        """An admitted dispatch goes to the pool."""
        self._preparing.add(key)

    def prepared(self, key: DispatchKey) -> tuple[Queued, HostedSession] | None:
        """The pool is through with it: enqueue it next; None when it was withdrawn meanwhile."""
        if key not in self._preparing:
            return None
        self._preparing.remove(key)
        return self._here[key]

    def take(self, group: HostedGroup, count: int) -> Sequence[Queued]:
        """Remove the ``count`` most urgent dispatches of a group's queue."""
        taken = group.queue.take(count)
        for queued in taken:
            _, session = self._here.pop(queued.key)
            session.items -= queued.items
        return taken

    def withdraw(self, key: DispatchKey) -> bool:
        """Remove a dispatch wherever it waits, and say whether it did."""
        found = self._here.pop(key, None)
        if found is None:
            return False
        queued, session = found
        session.items -= queued.items
        if key in self._preparing:
            self._preparing.remove(key)
        else:
            session.group.queue.remove(queued)
        return True

    def of_connection(self, connection: int) -> list[DispatchKey]:
        """The waiting dispatches that came over a connection."""
        return [key for key in self._here if key.connection == connection]
