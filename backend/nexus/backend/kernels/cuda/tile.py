"""How the threads of a block divide one matrix: the Python side of `source/dot.h` and `mma.h`.

The kernel derives the same numbers at compile time; tests compare the two.
"""

from dataclasses import dataclass
from enum import Enum

PIECE_BYTES = 16
"""Weights are loaded in pieces of 16 bytes: four fp32 or eight 16-bit numbers."""
RUN = 32
"""mma: features that two mma instructions take."""
TILE_ROWS = 16
"""mma: gate rows of one A operand."""
COLUMNS = 8
"""mma: sequences of one B operand."""
BANK_ELEMENTS = 64
"""mma: 16-bit elements in all banks of shared memory."""


class Family(Enum):
    """Which arithmetic a kernel uses, and the number that its macro takes."""

    DOT = 0
    MMA = 1


def round_up(value: int, multiple: int) -> int:
    """The least multiple of ``multiple`` that is at least ``value``."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True, slots=True)
class Division:
    """Threads of a block, and the units it makes."""

    family: Family
    units: int
    threads: int
    lanes: int

    @property
    def warps(self) -> int:
        """Of 32 threads."""
        return self.threads // 32

    @property
    def element_bytes(self) -> int:
        """Of one feature of h or x in shared memory."""
        return 4 if self.family is Family.DOT else 2


@dataclass(frozen=True, slots=True)
class Tile:
    """A matrix of ``units * gate_rows`` rows and ``features`` columns in one block."""

    division: Division
    gate_rows: int
    features: int
    resident: int
    """Steps held in registers; the others lie in shared memory."""

    @property
    def rows(self) -> int:
        """Gate rows of the block."""
        return self.division.units * self.gate_rows

    @property
    def group_rows(self) -> int:
        """dot: rows of one group of lanes, a power of two."""
        groups = self.division.threads // self.division.lanes
        return 1 << (-(-self.rows // groups) - 1).bit_length()

    @property
    def row_tiles(self) -> int:
        """mma: A operands, one above the other."""
        return -(-self.rows // TILE_ROWS)

    @property
    def split(self) -> int:
        """mma: warps that share the features of one row tile; 0 if there are too few warps."""
        return self.division.warps // self.row_tiles

    @property
    def step_features(self) -> int:
        """Features that the block takes in one step."""
        if self.division.family is Family.DOT:
            return 4 * self.division.lanes
        return RUN * max(self.split, 1)

    @property
    def steps(self) -> int:
        """Steps of the product."""
        return -(-self.features // self.step_features)

    @property
    def extent(self) -> int:
        """Features with their padding."""
        return self.steps * self.step_features

    @property
    def step_pieces(self) -> int:
        """Pieces of one thread in one step."""
        return self.group_rows if self.division.family is Family.DOT else 2

    @property
    def packed_pieces(self) -> int:
        """Of the whole block."""
        return self.steps * self.step_pieces * self.division.threads

    @property
    def held_steps(self) -> int:
        """Steps in registers."""
        return min(self.steps, self.resident)

    @property
    def held_registers(self) -> int:
        """Registers of one thread that hold weights."""
        return self.held_steps * self.step_pieces * PIECE_BYTES // 4

    @property
    def shared_bytes(self) -> int:
        """Shared memory of the block that holds weights."""
        steps = self.steps - self.held_steps
        return steps * self.step_pieces * self.division.threads * PIECE_BYTES

    def sum_bytes(self, vectors: int) -> int:
        """Shared memory for the sums of so many vectors."""
        if self.division.family is Family.DOT:
            return 4 * round_up(self.rows, 4) * vectors
        rows = max(self.split, 1) * self.row_tiles * TILE_ROWS
        return 4 * rows * (round_up(vectors, COLUMNS) + 1)

    def sums_per_thread(self, vectors: int) -> int:
        """Accumulators of one thread for so many vectors."""
        if self.division.family is Family.DOT:
            return self.group_rows * vectors
        tiles = -(-vectors // COLUMNS)
        return 4 * tiles * (2 if tiles == 1 else 1)


def row_stride(family: Family, elements: int) -> int:
    """Elements from one vector to the next in shared memory, without bank conflicts."""
    if family is Family.DOT:
        return round_up(elements, 4)
    whole, rest = divmod(elements, BANK_ELEMENTS)
    half = BANK_ELEMENTS // 2
    return whole * BANK_ELEMENTS + half + (BANK_ELEMENTS if rest > half else 0)
