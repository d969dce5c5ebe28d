"""The runs whose times tell a CPU's constants apart, and the constants that follow from them.

Pure: `cpu_measurement.py` takes the times. Most constants are slopes, the difference of two runs
that differ in one thing, so that what they have in common cancels out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.cpu_constants import Bandwidth, CpuConstants, VectorTime, apart
from nexus.backend.kernels.model.cpu_cost import EXCHANGE_ROWS, LINE_FLOATS, NS_PER_US, predict
from nexus.backend.kernels.model.cpu_instructions import InstructionSet
from nexus.backend.kernels.model.cpu_plan import CpuPlan
from nexus.backend.kernels.model.workload import Workload

PRODUCT_HIDDEN, PRODUCT_ROWS, PRODUCT_INPUTS = 64, 96, (16, 112)
"""A tile of so many inputs stays in the nearest cache, whatever the vectors' width."""
SMALL = 32
CELL_ROWS = (4, 16)
STREAMED_HIDDENS = (32, 64, 128, 192, 256, 384, 512, 1024, 2048)
"""LSTMs of which one row's step goes through 16 KiB to 64 MiB."""
CHUNK = 1 << 20
LEAST_NS = 1e-3
FASTEST_BYTES_PER_NS = 1000.0
BOUNDLESS = Bandwidth((1,), (FASTEST_BYTES_PER_NS * FASTEST_BYTES_PER_NS,))
NO_CELLS = dict.fromkeys(Cell, 0.0)
PASSES = 3
"""Each constant is what is left of a time when the others are known: begun from none, settled
after two passes."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One run to be timed."""

    workload: Workload
    plan: CpuPlan

    @property
    def shape(self) -> StackShape:
        """Of its stack."""
        return self.workload.shape


Times = Mapping[Probe, float]
"""The shortest time of each, in nanoseconds."""


def product_probe(
    precision: Precision, instructions: InstructionSet, *, full: bool, inputs: int
) -> Probe:
    """One step: nothing but the projection of inputs, in blocks of one row or of as many as fit."""
    shape = StackShape(Cell.LSTM, inputs, PRODUCT_HIDDEN)
    rows = instructions.lstm_rows if full else 1
    plan = CpuPlan(precision, rows_per_block=rows, chunk_rows=CHUNK)
    return Probe(Workload(shape, PRODUCT_ROWS, 1, precision), plan)


def step_probe(cell: Cell, hidden: int, batch: int, steps: int, threads: int = 1) -> Probe:
    """Steps on an input of one feature."""
    workload = Workload(StackShape(cell, 1, hidden), batch, steps)
    return Probe(workload, CpuPlan(Precision.FP32, threads, chunk_rows=CHUNK))


def step_counts(hidden: int) -> tuple[int, int]:
    """Two numbers of steps whose difference is some 100 us or more of work."""
    if hidden <= PRODUCT_HIDDEN:
        return 5, 45
    return (2, 12) if hidden <= 256 else (1, 4) if hidden <= 1024 else (1, 3)  # noqa: PLR2004


def probes(
    instructions: InstructionSet, threads: int, precisions: tuple[Precision, ...]
) -> Iterator[Probe]:
    """All that `constants_from` asks for."""
    for precision in precisions:
        for full in (False, True):
            for inputs in PRODUCT_INPUTS:
                yield product_probe(precision, instructions, full=full, inputs=inputs)
    slopes = [(cell, SMALL, rows, 1) for cell in Cell for rows in CELL_ROWS]
    slopes.append((Cell.LSTM, LINE_FLOATS, 1, 1))
    slopes += [(Cell.LSTM, hidden, 1, 1) for hidden in STREAMED_HIDDENS]
    if threads > 1:
        exchanging = LINE_FLOATS * threads
        slopes += [(Cell.LSTM, exchanging, rows, threads) for rows in (1, EXCHANGE_ROWS)]
        slopes += [(Cell.LSTM, hidden, 1, threads) for hidden in _streamed_together(threads)]
    for cell, hidden, rows, used in slopes:
        for steps in step_counts(hidden):
            yield step_probe(cell, hidden, rows, steps, used)
    for used in {1, threads}:
        yield step_probe(Cell.LSTM, LINE_FLOATS, 1, 1, used)


def constants_from(
    times: Times,
    instructions: InstructionSet,
    threads: int,
    precisions: tuple[Precision, ...],
    chunk_bytes_max: int,
) -> CpuConstants:
    """The constants at which the model takes the measured times."""
    fit = _Fit(times, instructions, threads)
    constants = CpuConstants(
        instructions=instructions.name,
        threads=threads,
        chunk_bytes_max=chunk_bytes_max,
        vectors={precision: fit.vector(precision) for precision in precisions},
        cells_ns=NO_CELLS,
        alone=BOUNDLESS,
        together=BOUNDLESS,
        step_ns=0.0,
        exchange_ns=0.0,
        exchange_row_ns=0.0,
        call_ns=0.0,
        handoff_ns=0.0,
    )
    for _ in range(PASSES):
        constants = fit.alone(constants)
        if threads > 1:
            constants = fit.together(constants)
    return constants


class _Fit:
    """Each constant from the times, given those found before."""

    def __init__(self, times: Times, instructions: InstructionSet, threads: int) -> None:
        self._times = times
        self._instructions = instructions
        self._threads = threads

    def vector(self, precision: Precision) -> VectorTime:
        rows = self._instructions.lstm_rows
        one = self._vector_ns(precision, full=False)
        most = self._vector_ns(precision, full=True)
        row_ns = max((most - one) / (rows - 1) if rows > 1 else one, LEAST_NS)
        row_ns = min(row_ns, most / rows)
        return VectorTime(max(most - rows * row_ns, 0.0), row_ns)

    def _vector_ns(self, precision: Precision, *, full: bool) -> float:
        few, many = (
            product_probe(precision, self._instructions, full=full, inputs=inputs)
            for inputs in PRODUCT_INPUTS
        )
        rows = self._instructions.lstm_rows if full else 1
        tiles = PRODUCT_HIDDEN / self._instructions.lanes
        vectors = (PRODUCT_INPUTS[1] - PRODUCT_INPUTS[0]) * tiles * few.shape.cell.gates
        blocks = PRODUCT_ROWS / rows
        return max(self._times[many] - self._times[few], LEAST_NS) / (vectors * blocks)

    def alone(self, constants: CpuConstants) -> CpuConstants:
        """Better constants of one thread, from the others as they are known."""
        cells = {cell: self._cell_ns(cell, replace(constants, cells_ns=NO_CELLS)) for cell in Cell}
        constants = replace(constants, cells_ns=cells)
        one = (Cell.LSTM, LINE_FLOATS, 1, 1)
        step_ns = self._missing(replace(constants, step_ns=0.0), *one)
        constants = replace(constants, step_ns=step_ns)
        rates = self._bandwidth(constants, STREAMED_HIDDENS, 1)
        constants = replace(constants, alone=rates)
        if self._threads == 1:
            constants = replace(constants, together=rates)
        return replace(constants, call_ns=self._call_ns(replace(constants, call_ns=0.0), 1))

    def together(self, constants: CpuConstants) -> CpuConstants:
        """The same of all threads."""
        few, many = (
            (Cell.LSTM, LINE_FLOATS * self._threads, rows, self._threads)
            for rows in (1, EXCHANGE_ROWS)
        )
        # So few units lie in caches that a core shares with nobody.
        free = replace(constants, exchange_ns=0.0, exchange_row_ns=0.0, together=constants.alone)
        once = self._missing(free, *few)
        more = max(self._missing(free, *many) - once, 0.0)
        constants = replace(constants, exchange_ns=once, exchange_row_ns=more / (EXCHANGE_ROWS - 1))
        rates = self._bandwidth(constants, _streamed_together(self._threads), self._threads)
        constants = replace(constants, together=_continued(constants.alone, rates))
        handed = self._call_ns(replace(constants, handoff_ns=0.0), self._threads)
        return replace(constants, handoff_ns=handed)

    def _cell_ns(self, cell: Cell, constants: CpuConstants) -> float:
        few, many = ((cell, SMALL, rows, 1) for rows in CELL_ROWS)
        found = self._slope(*many) - self._slope(*few)
        known = _predicted_slope(constants, *many) - _predicted_slope(constants, *few)
        tiles = SMALL / self._instructions.lanes
        return max((found - known) / tiles / (CELL_ROWS[1] - CELL_ROWS[0]), LEAST_NS)

    def _bandwidth(
        self, constants: CpuConstants, hiddens: tuple[int, ...], threads: int
    ) -> Bandwidth:
        sizes, rates = [], []
        unlimited = replace(constants, alone=BOUNDLESS, together=BOUNDLESS)
        instant = VectorTime(0.0, LEAST_NS * LEAST_NS)
        product_free = replace(unlimited, vectors={Precision.FP32: instant})
        for hidden in hiddens:
            one = (Cell.LSTM, hidden, 1, threads)
            beside = _predicted_slope(product_free, *one)
            multiplied = _predicted_slope(unlimited, *one) - beside
            size = 4 * Cell.LSTM.gates * hidden * hidden // threads
            loads = apart(self._slope(*one) - beside, multiplied, size / FASTEST_BYTES_PER_NS)
            sizes.append(size)
            rates.append(size / loads)
        # A larger working set is never faster: a smaller one that seems slower was disturbed.
        falling = list(accumulate(reversed(rates), max))[::-1]
        return Bandwidth(tuple(sizes), tuple(falling))

    def _call_ns(self, constants: CpuConstants, threads: int) -> float:
        """What a call takes beyond what is known of it."""
        probe = step_probe(Cell.LSTM, LINE_FLOATS, 1, 1, threads)
        known = predict(probe.workload, probe.plan, constants).total_us * NS_PER_US
        return max(self._times[probe] - known, 0.0)

    def _missing(
        self, constants: CpuConstants, cell: Cell, hidden: int, batch: int, threads: int
    ) -> float:
        """What a step takes beyond what is known of it."""
        known = _predicted_slope(constants, cell, hidden, batch, threads)
        return max(self._slope(cell, hidden, batch, threads) - known, 0.0)

    def _slope(self, cell: Cell, hidden: int, batch: int, threads: int) -> float:
        few, many = step_counts(hidden)
        longer = self._times[step_probe(cell, hidden, batch, many, threads)]
        shorter = self._times[step_probe(cell, hidden, batch, few, threads)]
        return max(longer - shorter, LEAST_NS) / (many - few)


def _predicted_slope(
    constants: CpuConstants, cell: Cell, hidden: int, batch: int, threads: int
) -> float:
    few, many = (
        predict(probe.workload, probe.plan, constants).total_us * NS_PER_US
        for probe in (step_probe(cell, hidden, batch, n, threads) for n in step_counts(hidden))
    )
    counts = step_counts(hidden)
    return (many - few) / (counts[1] - counts[0])


def _streamed_together(threads: int) -> tuple[int, ...]:
    least = LINE_FLOATS * threads
    return tuple(hidden for hidden in STREAMED_HIDDENS if hidden > least and hidden % least == 0)


def _continued(small: Bandwidth, large: Bandwidth) -> Bandwidth:
    """One for sizes below those of the other, then that."""
    below = sum(size < large.working_sets[0] for size in small.working_sets)
    return Bandwidth(
        small.working_sets[:below] + large.working_sets,
        small.bytes_per_ns[:below] + large.bytes_per_ns,
    )
