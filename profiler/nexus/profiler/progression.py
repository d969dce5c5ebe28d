"""Which batches to measure, in which order, and when a larger one is not worth it. Pure."""

from collections.abc import Sequence

from nexus.profiler.measurement import BatchRow
from nexus.profiler.settings import ProfilerSettings

GRID_PARTS = 8
"""Beyond ``every_batch_to`` a batch grows by this part of itself to the next."""

SLOWER_MAX = 1.1
SPREAD_MAX = 1.5
"""What makes a row look disturbed: p95 over what other rows allow, and over its own median."""

LEVELLED_OFF = "throughput stopped growing"
TOO_SLOW = "slower than the latency cap"
LARGEST = "largest batch allowed"
OUT_OF_MEMORY = "out of memory"


def batch_grid(max_batch: int, every_batch_to: int) -> tuple[int, ...]:
    """1, 2, 3, ... ``every_batch_to``, then steps of an eighth, and always ``max_batch`` itself.

    A profile has no gap where batches are small and each step counts; where they are large, the
    interpolated ones lie within an eighth of a measured one.
    """
    grid: list[int] = []
    batch = 1
    while batch < max_batch:
        grid.append(batch)
        batch += 1 if batch < every_batch_to else max(1, batch // GRID_PARTS)
    return (*grid, max_batch)


def reason_to_end(rows: Sequence[BatchRow], settings: ProfilerSettings) -> str:
    """Why no larger batch need be measured after ``rows``; empty to go on."""
    if rows[-1].p95_us > settings.latency_cap_us:
        return TOO_SLOW
    if has_levelled_off(rows, settings.gain_min, settings.flat_batches):
        return LEVELLED_OFF
    return ""


def disturbed(rows: Sequence[BatchRow]) -> tuple[int, ...]:
    """The positions of rows that something else on the machine may have slowed down.

    Such a batch took clearly longer than a larger one, or than the same items in two smaller ones,
    or its p95 is far from its median. All that can also be true of a model; measuring again tells,
    for a disturbance passes and a property stays.
    """
    return tuple(
        position
        for position, row in enumerate(rows)
        if row.p95_us > SPREAD_MAX * row.p50_us
        or row.p95_us > SLOWER_MAX * min(larger.p95_us for larger in rows[position:])
        or (position and row.p95_us > SLOWER_MAX * _in_two_batches_us(rows, position))
    )


def _in_two_batches_us(rows: Sequence[BatchRow], position: int) -> int:
    """The time of the row before, and of the smallest row that holds the other items."""
    before = rows[position - 1]
    rest = rows[position].batch - before.batch
    return before.p95_us + next(row.p95_us for row in rows if row.batch >= rest)


def has_levelled_off(rows: Sequence[BatchRow], gain_min: float, flat_batches: int) -> bool:
    """Whether none of the last rows beat the best throughput before them by ``gain_min``."""
    if len(rows) <= flat_batches:
        return False
    before = max(row.throughput for row in rows[:-flat_batches])
    lately = max(row.throughput for row in rows[-flat_batches:])
    return lately < before * (1 + gain_min)
