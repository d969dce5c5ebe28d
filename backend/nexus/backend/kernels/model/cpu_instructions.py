"""What the CPU extension's instruction sets hold in registers: the shape of its inner loop.

The numbers repeat those of the extension's ``src/simd_*.h``; a test compares them.
"""

from dataclasses import dataclass

from nexus.backend.kernels.cell import Cell
from nexus.core.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """``lanes`` units a vector; how many batch rows a block has beside all gates of one vector."""

    name: str
    lanes: int
    lstm_rows: int
    gru_rows: int

    def block_rows(self, cell: Cell) -> int:
        """The most rows of a block."""
        return self.lstm_rows if cell is Cell.LSTM else self.gru_rows


KNOWN = {
    one.name: one
    for one in (
        InstructionSet("avx512", 16, 6, 8),
        InstructionSet("avx2", 8, 3, 4),
        InstructionSet("neon", 4, 6, 8),
        InstructionSet("scalar", 4, 2, 2),
    )
}


def instruction_set(name: str) -> InstructionSet:
    """The one of this name.

    Raises:
        InvalidArgumentError: the extension is newer than this model and has another.
    """
    if name not in KNOWN:
        raise InvalidArgumentError(
            f"the cost model does not know the instruction set {name!r}, only {', '.join(KNOWN)}",
            reason="unknown_instruction_set",
        )
    return KNOWN[name]
