"""The dispatches whose answer is still owed, with their payloads and times."""

from collections.abc import Iterable
from dataclasses import dataclass

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.executor import Prepared
from nexus.core.names import ModelName
from nexus.core.request import Dispatch
from nexus.core.tensor import Tensor


@dataclass(slots=True)
class InFlight:
    """One dispatch from its arrival to its reply. ``tensors`` are let go once it is prepared.

    ``begun``: it was in a chunk, and is not finished; the executor keeps its state.
    """

    key: DispatchKey
    dispatch: Dispatch
    tensors: tuple[Tensor, ...]
    arrived_us: int
    model: ModelName = ""
    prepared: Prepared = None
    started_us: int = 0
    ended_us: int = 0
    batch: int = 0
    begun: bool = False


class InFlightTable:
    """By key. What is not in it has been answered, or nobody waits for it any more."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_key: dict[DispatchKey, InFlight] = {}

    def __len__(self) -> int:
        """How many answers are owed."""
        return len(self._by_key)

    def __contains__(self, key: DispatchKey) -> bool:
        """Whether an answer is owed."""
        return key in self._by_key

    def add(self, entry: InFlight) -> None:
        """A dispatch arrived."""
        assert entry.key not in self._by_key, entry.key
        self._by_key[entry.key] = entry

    def get(self, key: DispatchKey) -> InFlight | None:
        """The dispatch, while its answer is owed."""
        return self._by_key.get(key)

    def pop(self, key: DispatchKey) -> InFlight | None:
        """Take it out because it is answered now; None when nobody waits any more."""
        return self._by_key.pop(key, None)

    def of(self, keys: Iterable[DispatchKey]) -> list[InFlight]:
        """Those of ``keys`` whose answer is still owed, in this order."""
        return [entry for key in keys if (entry := self._by_key.get(key)) is not None]

    def forget_connection(self, connection: int) -> list[InFlight]:
        """Nobody waits for the answers of a connection any more; which those were."""
        keys = [key for key in self._by_key if key.connection == connection]
        return [self._by_key.pop(key) for key in keys]
