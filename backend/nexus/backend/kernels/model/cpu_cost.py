"""How long a stack takes on the CPU kernels: one analytic model with the constants of one CPU.

A core is what an SM is to GRNN: it owns a tile of hidden units with all their gates, its caches
hold the weights, and threads exchange only h. Per layer and direction

    time = chunks of projected inputs + steps * (multiply-adds or loads + cells + exchange)

and per call what Python and the hand-over to the threads cost. The slowest thread counts.
"""

from dataclasses import dataclass

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.layer_shape import LayerShape
from nexus.backend.kernels.model.cost import Cost, Term, summed
from nexus.backend.kernels.model.cpu_constants import Bandwidth, CpuConstants, together
from nexus.backend.kernels.model.cpu_instructions import InstructionSet, instruction_set
from nexus.backend.kernels.model.cpu_plan import CpuPlan, Split
from nexus.backend.kernels.model.workload import Workload

NS_PER_US = 1000.0
LINE_FLOATS = 16
"""Of a cache line: no line of h has two writers."""
EXCHANGE_ROWS = 8
"""Rows beyond which fetching h from another core hides behind the arithmetic of the rows before."""


@dataclass(frozen=True, slots=True)
class Share:
    """What the busiest thread of a team has to do in one layer and direction."""

    tiles: int
    rows: int
    team: int
    """Threads that exchange h."""
    busy: int
    """Threads that load weights at the same time."""
    turns: int
    """Directions that it runs one after the other."""


def share_of(workload: Workload, plan: CpuPlan, instructions: InstructionSet) -> Share:
    """How a plan divides a layer among threads, as the extension does."""
    tiles = -(-workload.shape.hidden_size // instructions.lanes)
    directions, threads = workload.shape.directions, plan.threads
    if plan.split is Split.ROWS:
        rows = -(-workload.batch // threads)
        return Share(tiles, rows, 1, min(threads, workload.batch), directions)
    team = threads // 2 if plan.split is Split.DIRECTIONS else threads
    per_line = max(1, LINE_FLOATS // instructions.lanes)
    lines = -(-tiles // per_line)
    own = min(tiles, -(-lines // team) * per_line)
    turns = 1 if plan.split is Split.DIRECTIONS else directions
    return Share(own, workload.batch, team, threads, turns)


def predict(workload: Workload, plan: CpuPlan, constants: CpuConstants) -> Cost:
    """The time of one call of ``run`` from Python, outputs of all steps included."""
    instructions = instruction_set(constants.instructions)
    share = share_of(workload, plan, instructions)
    first = _Layer(workload, workload.shape.layer(0), plan, constants, share)
    costs = [first.cost()]
    if workload.shape.layers > 1:
        layer = workload.shape.layer(1)
        upper = _Layer(workload, layer, plan, constants, share).cost()
        costs += [upper] * (workload.shape.layers - 1)
    return summed((_call(plan, constants), *costs))


def _call(plan: CpuPlan, constants: CpuConstants) -> Cost:
    more = constants.handoff_ns if plan.threads > 1 else 0.0
    why = "Python, checks" + (", waking the other threads" if more else "")
    return Cost((Term("call", (constants.call_ns + more) / NS_PER_US, why),))


class _Layer:
    """One layer, each direction that a thread runs of it."""

    def __init__(
        self,
        workload: Workload,
        layer: LayerShape,
        plan: CpuPlan,
        constants: CpuConstants,
        share: Share,
    ) -> None:
        self._workload, self._layer, self._share = workload, layer, share
        self._plan, self._constants = plan, constants
        instructions = instruction_set(constants.instructions)
        self._lanes = instructions.lanes
        self._gates, self._weight_bytes = layer.cell.gates, plan.precision.weight_bytes
        most = instructions.block_rows(layer.cell)
        self._block_rows = min(plan.rows_per_block or most, most)
        self._vector = constants.vectors[plan.precision]

    def cost(self) -> Cost:
        steps, turns = self._workload.steps, self._share.turns
        # The first step finds a state of zeros and multiplies nothing.
        multiplied = turns * (steps - 1) * self._step_product_ns()
        projected = turns * self._projection_ns()
        cells = turns * steps * self._cells_ns()
        exchanged = turns * (steps - 1) * self._exchange_ns()
        return Cost(
            (
                Term("inputs", projected / NS_PER_US, self._why_inputs()),
                Term("steps", multiplied / NS_PER_US, self._why_steps()),
                Term("cells", cells / NS_PER_US, "activations, state, bookkeeping"),
                Term("exchange", exchanged / NS_PER_US, self._why_exchange()),
            )
        )

    def _step_product_ns(self) -> float:
        rows = self._share.rows
        return self._product_ns(self._layer.hidden_size, rows, self._step_bytes())

    def _projection_ns(self) -> float:
        """Chunk by chunk; every chunk goes through all of the input's weights."""
        row_steps = self._share.rows * self._workload.steps
        chunks = max(1, -(-row_steps // self._plan.chunk_rows))
        rows = -(-row_steps // chunks)
        product = self._product_ns(self._layer.input_size, rows, self._resident_bytes())
        buffer = self._buffer_bytes(rows)
        # Written once and read once.
        moved = 2 * buffer / self._bandwidth.at(buffer + self._step_bytes())
        return chunks * (product + moved)

    def _buffer_bytes(self, rows: int) -> float:
        """Projected inputs."""
        return float(rows * self._share.tiles * self._gates * self._lanes * 4)

    def _product_ns(self, features: int, rows: int, working_set: float) -> float:
        """Rows times all gates of the thread's tiles; a tile's later blocks find it nearby."""
        vectors = self._gates * features
        size = vectors * self._lanes * self._weight_bytes
        blocks = -(-rows // self._block_rows)
        even = self._vector.once_ns * blocks + self._vector.row_ns * rows
        first = vectors * even / blocks
        from_far = together(first, size / self._bandwidth.at(working_set))
        from_near = together(first, size / self._bandwidth.at(size))
        return self._share.tiles * (from_far + (blocks - 1) * from_near)

    def _cells_ns(self) -> float:
        cell_ns = self._constants.cells_ns[self._layer.cell]
        return self._share.tiles * self._share.rows * cell_ns + self._constants.step_ns

    def _exchange_ns(self) -> float:
        if self._share.team == 1:
            return 0.0
        rows = min(self._share.rows, EXCHANGE_ROWS) - 1
        once = self._constants.exchange_ns + rows * self._constants.exchange_row_ns
        return once * self._exchanges

    @property
    def _exchanges(self) -> int:
        """In a step."""
        return 2 if self._layer.cell is Cell.GRU_RESET_BEFORE else 1

    @property
    def _bandwidth(self) -> Bandwidth:
        return self._constants.together if self._share.busy > 1 else self._constants.alone

    def _step_bytes(self) -> float:
        return self._matrix_bytes(self._layer.hidden_size)

    def _resident_bytes(self) -> float:
        return self._matrix_bytes(self._layer.hidden_size + self._layer.input_size)

    def _matrix_bytes(self, features: int) -> float:
        vectors = self._share.tiles * self._gates * features
        return float(vectors * self._lanes * self._weight_bytes)

    def _why_inputs(self) -> str:
        return f"W x, chunks of {self._plan.chunk_rows} rows"

    def _why_steps(self) -> str:
        size = self._step_bytes()
        loads = size / self._bandwidth.at(size)
        blocks = -(-self._share.rows // self._block_rows)
        vectors = size / self._lanes / self._weight_bytes
        once, row = self._vector.once_ns, self._vector.row_ns
        sums = vectors * (once * blocks + row * self._share.rows)
        bound = "multiply-adds" if sums > loads else f"loads at {self._bandwidth.at(size):.0f} GB/s"
        return f"R h, {size / 1024:.0f} KiB a thread, bound by {bound}"

    def _why_exchange(self) -> str:
        if self._share.team == 1:
            return "no thread waits for another"
        return f"{self._exchanges} of h among {self._share.team} threads in each step"
