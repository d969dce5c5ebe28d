"""What a chunk costs, how many steps one should have, and how many slots are worth having.

A chunk of K steps with b rows takes overhead(b) + K step(b). Small chunks let sequences join and
leave soon, large ones pay the overhead less often (grnn.md, section 3).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from nexus.core.errors import InvalidArgumentError

OVERHEAD_SHARE = 0.05
"""What the overhead of a chunk may add to its steps, unless somebody would be late by that."""

NEARLY = 0.95
"""Of the highest throughput: what the last few slots would add is not worth their waiting."""


@dataclass(frozen=True, slots=True)
class ChunkCost:
    """Microseconds by the number of rows, the same number of entries in all; index 0 is unused.

    Neither ``overheads_us`` nor ``steps_us`` falls as rows are added. ``preferred_steps`` is the
    shortest chunk whose overhead is within OVERHEAD_SHARE of its steps, ``paced_us`` one of its
    steps with a share of the overhead.
    """

    overheads_us: tuple[float, ...]
    steps_us: tuple[float, ...]
    preferred_steps: tuple[int, ...] = field(init=False)
    paced_us: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Derive what engines ask for at every chunk."""
        rows = range(1, len(self.steps_us))
        preferred = (0, *(self._preferred_steps(b) for b in rows))
        paced = (0.0, *(self.chunk_us(b, preferred[b]) / preferred[b] for b in rows))
        object.__setattr__(self, "preferred_steps", preferred)
        object.__setattr__(self, "paced_us", paced)

    @property
    def rows_max(self) -> int:
        """The most rows it speaks of."""
        return len(self.steps_us) - 1

    def chunk_us(self, rows: int, steps: int) -> float:
        """A chunk of ``steps`` steps."""
        return self.overheads_us[rows] + steps * self.steps_us[rows]

    def beside(self, overhead_us: float) -> "ChunkCost":
        """The same where each chunk costs so much more around it."""
        overheads_us = (0.0, *(one + overhead_us for one in self.overheads_us[1:]))
        return ChunkCost(overheads_us, self.steps_us)

    def _preferred_steps(self, rows: int) -> int:
        return max(1, math.ceil(self.overheads_us[rows] / (OVERHEAD_SHARE * self.steps_us[rows])))


def chunk_cost(measured: Mapping[int, tuple[float, float]]) -> ChunkCost:
    """The cost of every number of rows up to the largest measured, on lines between those measured.

    Args:
        measured: By rows, the overhead and the step in us. Below the fewest rows, theirs is taken.

    Raises:
        InvalidArgumentError: nothing was measured, or a time is not positive.
    """
    if not measured or min(measured) < 1 or any(min(cost) <= 0 for cost in measured.values()):
        raise InvalidArgumentError(
            f"costs of chunks by rows, {dict(measured)}: need rows >= 1 and times > 0",
            reason="invalid_cost",
        )
    known = sorted(measured)
    overheads = [_between(known, [measured[rows][0] for rows in known], at) for at in _to(known)]
    steps = [_between(known, [measured[rows][1] for rows in known], at) for at in _to(known)]
    # One that seems cheaper than with fewer rows was measured at a better moment.
    return ChunkCost(
        (0.0, *accumulate(overheads, max)),
        (0.0, *accumulate(steps, max)),
    )


def chunk_steps(cost: ChunkCost, rows: int, longest: int, room_us: float) -> int:
    """How many steps the next chunk has.

    Args:
        cost: Of the device, as it is now.
        rows: How many sequences are in it.
        longest: The most steps that one of them has ready.
        room_us: How long the chunk may last; one step is executed whatever that is.
    """
    within = int((room_us - cost.overheads_us[rows]) / cost.steps_us[rows])
    return max(1, min(cost.preferred_steps[rows], longest, within))


def finish_us(cost: ChunkCost, others: Sequence[int], steps: int) -> float:
    """How long ``steps`` steps take in a company that only shrinks.

    Args:
        cost: Of the device.
        others: How many steps each of the others has left, ascending.
        steps: Of the sequence in question.
    """
    done, rows, total_us = 0, len(others) + 1, 0.0
    for left in others:
        if left >= steps:
            break
        total_us += (left - done) * cost.paced_us[rows]
        done, rows = left, rows - 1
    return total_us + (steps - done) * cost.paced_us[rows]


def best_slots(cost: ChunkCost, steps: int, budget_us: int) -> int:
    """How many slots are worth having.

    The fewest with nearly the throughput of any number at which ``steps`` steps are within a
    budget: more only make each sequence slower. 1 where the budget is too small for any.
    """
    within = [b for b in range(1, cost.rows_max + 1) if steps * cost.paced_us[b] <= budget_us]
    rates = {rows: rows / cost.paced_us[rows] for rows in within}
    enough = NEARLY * max(rates.values(), default=0.0)
    return next((rows for rows, rate in rates.items() if rate >= enough), 1)


def _to(known: Sequence[int]) -> range:
    return range(1, known[-1] + 1)


def _between(known: Sequence[int], costs: Sequence[float], at: int) -> float:
    if at <= known[0]:
        return costs[0]
    upper = next(index for index, rows in enumerate(known) if rows >= at)
    low, high = known[upper - 1], known[upper]
    share = (at - low) / (high - low)
    return costs[upper - 1] + share * (costs[upper] - costs[upper - 1])
