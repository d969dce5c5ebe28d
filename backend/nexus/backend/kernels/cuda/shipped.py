"""The layers that are compiled ahead (`nexus kernels warm`) and whose registers are under test.

Any other layer compiles at its first load; these are the ones that the benchmarks compare.
"""

from collections.abc import Iterator

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.choice import Demand, choose
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.device_limits import BF16_ARCH, DeviceLimits
from nexus.core.errors import InfeasibleError

FP32, BF16, FP16 = Precision.FP32, Precision.BF16, Precision.FP16


def _demand(
    cell: Cell, precision: Precision, hidden: int, batch: int, **more: int | bool
) -> Demand:
    return Demand(cell, precision, hidden, hidden, batch, **more)  # type: ignore[arg-type]


DEMANDS = (
    *(_demand(Cell.LSTM, FP32, hidden, 1) for hidden in (128, 256, 512, 1024)),
    *(_demand(Cell.LSTM, FP32, hidden, 4) for hidden in (256, 1024)),
    *(_demand(Cell.LSTM, BF16, hidden, 1) for hidden in (256, 512, 1024, 1536)),
    *(_demand(Cell.LSTM, BF16, hidden, 8) for hidden in (256, 1024)),
    *(_demand(Cell.LSTM, BF16, hidden, 32) for hidden in (512, 1024)),
    _demand(Cell.LSTM, FP16, 768, 16),
    *(_demand(Cell.GRU, FP32, hidden, 1) for hidden in (256, 1024)),
    *(_demand(Cell.GRU, BF16, 512, batch) for batch in (1, 8)),
    _demand(Cell.GRU_RESET_BEFORE, FP32, 256, 1),
    _demand(Cell.GRU_RESET_BEFORE, BF16, 512, 8),
    _demand(Cell.LSTM, FP32, 256, 1, directions=2),
    _demand(Cell.LSTM, BF16, 512, 8, directions=2),
    _demand(Cell.LSTM, FP32, 256, 1, layers=2),
    _demand(Cell.GRU, BF16, 512, 1, layers=3),
    _demand(Cell.LSTM, FP32, 256, 1, fused=True),
    _demand(Cell.LSTM, BF16, 512, 8, fused=True),
)


def shipped(limits: DeviceLimits) -> Iterator[tuple[Demand, Configuration]]:
    """What `choose` picks for each; bf16 as fp16 where there is no bf16; none where none fits."""
    for demand in DEMANDS:
        adapted = demand
        if limits.arch < BF16_ARCH and demand.precision is BF16:
            adapted = Demand(
                demand.cell,
                FP16,
                demand.input_size,
                demand.hidden_size,
                demand.batch,
                demand.directions,
                demand.layers,
                demand.fused,
            )
        try:
            yield adapted, choose(adapted, limits).configuration
        except InfeasibleError:
            continue
