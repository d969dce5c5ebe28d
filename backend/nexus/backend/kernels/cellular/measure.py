"""What chunks cost on this machine, measured as they are run: with engine, copies and kernel."""

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from nexus.backend.kernels.cellular.chunk_cost import OVERHEAD_SHARE, ChunkCost, chunk_cost
from nexus.backend.kernels.cellular.driver import CellularDriver
from nexus.backend.kernels.cellular.engine import CellularEngine
from nexus.backend.kernels.cellular.limits import Limits
from nexus.backend.kernels.cellular.slot_runner import SlotRunner
from nexus.core.clock import MonotonicClock
from nexus.core.units import US_PER_S

ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Costs in between lie on lines between these."""
STEPS_LONG = 4
STEPS_LONGEST = 4_096
LONG_US = 1_000
"""Against a single step, so many that they take so long: the difference of the two must be that of
the steps, and not of what else the machine does. No more, as others may wait for the kernels."""
CHUNKS_MIN = 5
CHUNKS_MAX = 24
POINT_US = 20_000
"""After which no further chunk of one size is measured."""
LEAST_US = 0.001
"""What noise made nothing, or less, of."""


def measure_cost(runner: SlotRunner, now_ns: Callable[[], int] = time.perf_counter_ns) -> ChunkCost:
    """Time chunks of one and of many steps with several numbers of rows: a few seconds.

    The median of each is taken: the least would be that of warm caches, which a real chunk does
    not find. The states of all slots are lost.

    Args:
        runner: What to measure.
        now_ns: The clock to go by.
    """
    measured = {}
    long_steps = _long_steps(runner, now_ns)
    for rows in _rows(runner.slots):
        short_us, long_us = (_chunk_us(runner, rows, steps, now_ns) for steps in (1, long_steps))
        step_us = max((long_us - short_us) / (long_steps - 1), LEAST_US)
        measured[rows] = max(short_us - step_us, LEAST_US), step_us
    return chunk_cost(measured)


def _rows(slots: int) -> Sequence[int]:
    return sorted({*(rows for rows in ROWS if rows < slots), slots})


def _long_steps(runner: SlotRunner, now_ns: Callable[[], int]) -> int:
    steps = STEPS_LONG
    while steps < STEPS_LONGEST and _chunk_us(runner, 1, steps, now_ns) < LONG_US:
        steps *= 2
    return steps


def _chunk_us(runner: SlotRunner, rows: int, steps: int, now_ns: Callable[[], int]) -> float:
    # An engine that believes in this cost prefers chunks of just so many steps.
    believed = chunk_cost({rows: (OVERHEAD_SHARE * (steps - 0.5), 1.0)})
    x = np.zeros((steps * (CHUNKS_MAX + 1), runner.shape.input_size), np.float32)
    limits = Limits(rows, join_wait_us=US_PER_S, ready_steps=len(x))
    driver = CellularDriver(CellularEngine(limits, believed), runner, MonotonicClock())
    # The first to come starts a chunk at once, and alone; the others are there at its end.
    driver.join("first", x[:steps])
    for key in range(rows):
        driver.join(key, x)
    driver.run_chunk()
    taken_us: list[float] = []
    while len(taken_us) < CHUNKS_MAX and (len(taken_us) < CHUNKS_MIN or sum(taken_us) < POINT_US):
        started_ns = now_ns()
        driver.run_chunk()
        taken_us.append((now_ns() - started_ns) / 1_000)
        driver.take()
    return statistics.median(taken_us)
