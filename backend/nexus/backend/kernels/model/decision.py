"""What a planner says: its choice, the runners-up, and what was left out by which limit."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from nexus.backend.kernels.model.cost import Cost

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranked(Generic[T]):
    """A configuration and its predicted time."""

    configuration: T
    cost: Cost


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many configurations one limit ruled out, with an example."""

    limit: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """Every configuration that can run, fastest first, and what cannot.

    ``notes`` are sentences on what the figures rest on.
    """

    ranked: tuple[Ranked[T], ...]
    pruned: tuple[Pruned, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> Ranked[T]:
        """The fastest."""
        return self.ranked[0]


def tally(ruled_out: Iterable[tuple[str, object]]) -> tuple[Pruned, ...]:
    """Pairs (limit, configuration) counted by limit, the most frequent first."""
    counts: Counter[str] = Counter()
    examples: dict[str, object] = {}
    for limit, example in ruled_out:
        counts[limit] += 1
        examples.setdefault(limit, example)
    return tuple(
        Pruned(limit, count, str(examples[limit])) for limit, count in counts.most_common()
    )
