"""One configuration of the recurrent kernel: every size it is compiled for, and what it needs.

GRNN's point is that the best mapping differs with hidden size, batch and GPU, so nothing here is
fixed: a configuration is plain data that can be enumerated, pruned by `problem` and ranked.
"""

from dataclasses import dataclass
from enum import Enum

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda import device_limits as limits_of
from nexus.backend.kernels.cuda.device_limits import DeviceLimits
from nexus.backend.kernels.cuda.tile import Division, Family, Tile, round_up, row_stride
from nexus.core.errors import InvalidArgumentError

CELL_NUMBERS = {Cell.LSTM: 0, Cell.GRU: 1, Cell.GRU_RESET_BEFORE: 2}
ALL_RESIDENT = 1 << 20
LANES = (8, 16, 32)
DOT_BATCH_MAX = 8
MMA_BATCH_MAX = 64
WORD_LANES = 30
SLOT_BYTES = 20
MBARRIER_BYTES = 16

REGISTERS_OF_STEPS = 44
"""Of one thread for addresses and the cell's arithmetic. These five are fitted to compilations, so
that what passes has no spills; the compiler may take more where there is room. The table in
docs/kernels-registers.json holds what it took (`tools/kernel_registers.py`)."""
REGISTERS_OF_PROJECTION = 68
REGISTERS_OF_ITEM = 16
REGISTERS_OF_SHARE = 8
REGISTERS_OF_SECOND_PRODUCT = 8
REGISTERS_SPARE = 4
WORDS_IN_FLIGHT = 4


class Exchange(Enum):
    """How blocks give each other h, and the number that the macro takes."""

    COUNTER = 0
    """A counter barrier through L2: the reference for debugging."""
    WORDS = 1
    """Value and epoch in one 16-byte word through L2: any GPU, any number of blocks."""
    CLUSTER = 2
    """Straight into the peers' shared memory, within a thread-block cluster."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The macros of `source/shape.h`, by name."""

    cell: Cell
    precision: Precision
    input_size: int
    hidden_size: int
    units: int
    threads: int
    batch_tile: int = 1
    lanes: int = 32
    """Of one dot product; fp32 only."""
    exchange: Exchange = Exchange.WORDS
    fused: bool = False
    """W resident beside R (streams, wavefronts) rather than multiplied before the loop."""
    segment: int = 0
    """Input features whose weights are held at once before the loop; 0: all."""
    project_rows: int = 8
    resident: int = ALL_RESIDENT
    resident_input: int = ALL_RESIDENT
    directions: int = 1
    layers: int = 1
    ring: int = 2

    @property
    def family(self) -> Family:
        """By the precision."""
        return Family.DOT if self.precision is Precision.FP32 else Family.MMA

    @property
    def blocks(self) -> int:
        """Blocks of one part and batch tile: those that exchange h."""
        return -(-self.hidden_size // self.units)

    @property
    def parts(self) -> int:
        """Directions or layers, each on blocks of its own."""
        return self.directions * self.layers

    @property
    def division(self) -> Division:
        """How the block's threads divide their matrices."""
        return Division(self.family, self.units, self.threads, self.lanes)

    @property
    def input_features(self) -> int:
        """Columns of W, in a wavefront those of the widest layer."""
        return max(self.input_size, self.hidden_size) if self.layers > 1 else self.input_size

    @property
    def segment_features(self) -> int:
        """Input features whose weights are held at once before the loop."""
        return self.segment or self.input_size

    @property
    def segments(self) -> int:
        """Passes over the input before the loop."""
        return -(-self.input_size // self.segment_features)

    @property
    def gates_of_products(self) -> tuple[tuple[int | None, ...], ...]:
        """For each product with h in a step, its gates in row order; None is a row of zeros."""
        if self.cell is Cell.LSTM:
            return ((0, 1, 2, 3),)
        if self.cell is Cell.GRU_RESET_BEFORE:
            return ((0, 1), (2,))
        return ((0, 1, 2, None),) if self.fused else ((0, 1, 2),)

    @property
    def gates_of_inputs(self) -> tuple[tuple[int | None, ...], ...]:
        """The same for W: one product for all gates before the loop, or those of a step."""
        if not self.fused:
            return (tuple(range(self.cell.gates)),)
        if self.cell is Cell.GRU:
            return ((0, 1, None, 2),)
        return self.gates_of_products

    @property
    def hidden_tiles(self) -> tuple[Tile, ...]:
        """Of R, in the order they are packed."""
        return tuple(
            Tile(self.division, len(gates), self.hidden_size, self.resident)
            for gates in self.gates_of_products
        )

    @property
    def input_tiles(self) -> tuple[Tile, ...]:
        """Of W; before the loop, each segment is one tile."""
        if self.fused:
            return tuple(
                Tile(self.division, len(gates), self.input_features, self.resident_input)
                for gates in self.gates_of_inputs
            )
        tile = Tile(self.division, self.cell.gates, self.segment_features, ALL_RESIDENT)
        return (tile,) * self.segments

    @property
    def exchanges_per_step(self) -> int:
        """Two where the reset gate comes before the product."""
        return len(self.gates_of_products)

    @property
    def vector_rows(self) -> int:
        """Rows of h in shared memory."""
        return self.batch_tile if self.family is Family.DOT else round_up(self.batch_tile, 8)

    @property
    def words(self) -> int:
        """16-byte words of one exchange of one part and batch tile."""
        if self.exchange is Exchange.COUNTER:
            return -(-self.batch_tile * self.blocks * self.units // 4)
        return self.batch_tile * self.blocks * -(-self.units // self.word_units)

    @property
    def word_units(self) -> int:
        """Units of h in one word."""
        return 12 // self.division.element_bytes

    @property
    def items(self) -> int:
        """Units of sequences that one thread updates."""
        pairs = self.batch_tile * round_up(self.units, self.word_units)
        return -(-pairs // (WORD_LANES * self.division.warps))

    @property
    def shared_bytes(self) -> int:
        """Dynamic shared memory of a block: `source/layout.h`."""
        size, padded = self.division.element_bytes, self.blocks * self.units
        extents = [tile.extent for tile in self.hidden_tiles]
        copies = 2 if self.exchange is Exchange.CLUSTER else 1
        stride = row_stride(self.family, max(padded, *extents))
        vectors = copies * self.vector_rows * stride * size
        inputs = self._input_bytes(padded)
        sums = max(tile.sum_bytes(self.batch_tile) for tile in self.hidden_tiles)
        if self.fused:
            start = vectors + inputs
        else:
            start = max(vectors, inputs)
            sums = max(sums, self.input_tiles[0].sum_bytes(self.project_rows))
        share = sum(tile.shared_bytes for tile in self.loop_tiles)
        begin = round_up(round_up(start, 16) + sums, 16)
        return round_up(begin + share + MBARRIER_BYTES + SLOT_BYTES * self.batch_tile, 16)

    def _input_bytes(self, padded: int) -> int:
        tiles, size = self.input_tiles, self.division.element_bytes
        if not self.fused:
            return self.project_rows * row_stride(self.family, tiles[0].extent) * size
        widest = max(padded, self.input_features, *(tile.extent for tile in tiles))
        return self.vector_rows * row_stride(self.family, widest) * size

    @property
    def loop_tiles(self) -> tuple[Tile, ...]:
        """Those that are on the chip during all steps."""
        return self.hidden_tiles + (self.input_tiles if self.fused else ())

    @property
    def loop_registers(self) -> int:
        """Estimate for one thread during the steps: weights, sums, words in flight, the rest."""
        held = sum(tile.held_registers for tile in self.loop_tiles)
        sums = max(tile.sums_per_thread(self.batch_tile) for tile in self.hidden_tiles)
        columns = self.batch_tile if self.family is Family.DOT else -(-self.batch_tile // 8)
        in_flight = 4 * min(WORDS_IN_FLIGHT, -(-self.words // self.threads))
        shared = any(tile.shared_bytes for tile in self.loop_tiles)
        return (
            REGISTERS_OF_STEPS
            + held
            + sums
            + 4 * columns
            + max(in_flight, REGISTERS_OF_ITEM * self.items)
            + REGISTERS_OF_SHARE * shared
            + REGISTERS_OF_SECOND_PRODUCT * (self.exchanges_per_step - 1)
        )

    @property
    def registers(self) -> int:
        """Estimate for one thread: the steps, or the projection of x before them."""
        if self.fused:
            return self.loop_registers
        tile = self.input_tiles[0]
        before = tile.held_registers + tile.sums_per_thread(self.project_rows)
        return max(self.loop_registers, before + REGISTERS_OF_PROJECTION)

    @property
    def macros(self) -> dict[str, int]:
        """What the source is compiled with."""
        return {
            "CELL": CELL_NUMBERS[self.cell],
            "HIDDEN": self.hidden_size,
            "INPUT": self.input_size,
            "UNITS": self.units,
            "THREADS": self.threads,
            "BATCH_TILE": self.batch_tile,
            "FAMILY": self.family.value,
            "LANES": self.lanes,
            "FP16": int(self.precision is Precision.FP16),
            "EXCHANGE": self.exchange.value,
            "FUSED": int(self.fused),
            "SEGMENT": self.segment_features,
            "PROJECT_ROWS": self.project_rows,
            "RESIDENT": self.resident,
            "RESIDENT_INPUT": self.resident_input,
            "DIRECTIONS": self.directions,
            "LAYERS": self.layers,
            "RING": self.ring,
        }

    def problem(self, limits: DeviceLimits, *, tiles: int = 1) -> str:
        """Why ``tiles`` batch tiles of it cannot run on such a GPU; empty if they can."""
        registers = limits_of.registers_per_thread(self.threads)
        checks = (
            (self._malformed(), "its sizes contradict each other"),
            (self.threads > limits_of.THREADS_PER_BLOCK, "more threads than a block has"),
            (
                self.precision is Precision.BF16 and limits.arch < limits_of.BF16_ARCH,
                "bf16 tensor cores begin with sm_80",
            ),
            (
                self.blocks * self.parts * tiles > limits.sms,
                f"{self.blocks * self.parts * tiles} blocks on {limits.sms} SMs",
            ),
            (
                self.shared_bytes > limits.shared_bytes,
                f"{self.shared_bytes} bytes of shared memory, there are {limits.shared_bytes}",
            ),
            (
                self.registers > registers - REGISTERS_SPARE,
                f"about {self.registers} registers a thread, there are {registers}",
            ),
            (
                self.exchange is Exchange.CLUSTER
                and not (limits.clusters and self.blocks <= limits_of.CLUSTER_BLOCKS),
                "no cluster of so many blocks",
            ),
        )
        return next((reason for fails, reason in checks if fails), "")

    def require(self, limits: DeviceLimits, *, tiles: int = 1) -> None:
        """Raise InvalidArgumentError if it cannot run on such a GPU."""
        problem = self.problem(limits, tiles=tiles)
        if problem:
            raise InvalidArgumentError(
                f"this configuration of a {self.cell.value} with hidden size {self.hidden_size} "
                f"cannot run on {limits.name} (sm_{limits.arch}): {problem}",
                reason="invalid_configuration",
            )

    def _malformed(self) -> bool:
        wavefront = self.layers > 1
        most = DOT_BATCH_MAX if self.family is Family.DOT else MMA_BATCH_MAX
        return (
            self.precision is Precision.FP24
            or self.threads % 32 != 0
            or self.lanes not in LANES
            or not 1 <= self.batch_tile <= most
            or (self.family is Family.DOT and self.batch_tile.bit_count() != 1)
            or (self.family is Family.MMA and self.units % 2 != 0)
            or (self.family is Family.MMA and self._too_few_warps())
            or (wavefront and not self._wavefront_possible())
        )

    def _too_few_warps(self) -> bool:
        return min(tile.split for tile in self.hidden_tiles + self.input_tiles) < 1

    def _wavefront_possible(self) -> bool:
        return (
            self.fused
            and self.exchange is Exchange.WORDS
            and self.directions == 1
            and self.exchanges_per_step == 1
        )
