"""One way to run a stack on the CPU kernels: the knobs that the extension's `Plan` has."""

from dataclasses import dataclass
from enum import Enum

from nexus.backend.kernels.cell import Precision


class Split(Enum):
    """What threads divide among each other. The values are the extension's names."""

    UNITS = "units"
    """Each owns hidden units of all rows; all exchange h at every step."""
    ROWS = "rows"
    """Each owns rows of the batch; none waits, each reads all weights."""
    DIRECTIONS = "directions"
    """Half of the threads run backwards; each half divides units."""


@dataclass(frozen=True, slots=True)
class CpuPlan:
    """``rows_per_block`` 0 is the most that registers hold; ``chunk_rows`` as in the extension."""

    precision: Precision
    threads: int = 1
    split: Split = Split.UNITS
    rows_per_block: int = 0
    chunk_rows: int = 48
    """Rows of inputs that are projected before their steps run."""

    def __str__(self) -> str:
        """``fp32, 2 threads by units, chunks of 96 rows``."""
        if self.threads == 1:
            threads = "1 thread"
        else:
            threads = f"{self.threads} threads by {self.split.value}"
        blocks = f", blocks of {self.rows_per_block}" if self.rows_per_block else ""
        return f"{self.precision.value}, {threads}, chunks of {self.chunk_rows} rows{blocks}"
