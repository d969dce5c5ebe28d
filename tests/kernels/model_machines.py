"""Machines for tests of the cost model: constants that nobody measured, but somebody could have."""

from dataclasses import replace

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.model.cpu_constants import Bandwidth, CpuConstants, VectorTime

LAPTOP = CpuConstants(
    instructions="avx2",
    threads=2,
    chunk_bytes_max=256 * 1024,
    vectors={
        Precision.FP32: VectorTime(0.0, 0.22),
        Precision.FP24: VectorTime(0.01, 0.25),
        Precision.BF16: VectorTime(0.05, 0.36),
    },
    cells_ns={Cell.LSTM: 27.0, Cell.GRU: 18.0, Cell.GRU_RESET_BEFORE: 26.0},
    alone=Bandwidth((1 << 14, 1 << 16, 1 << 20, 1 << 26), (400.0, 110.0, 70.0, 20.0)),
    together=Bandwidth((1 << 14, 1 << 16, 1 << 20, 1 << 26), (400.0, 100.0, 60.0, 10.0)),
    step_ns=25.0,
    exchange_ns=90.0,
    exchange_row_ns=60.0,
    call_ns=900.0,
    handoff_ns=400.0,
)
SERVER = replace(
    LAPTOP,
    instructions="avx512",
    threads=4,
    chunk_bytes_max=512 * 1024,
    vectors={one: VectorTime(time.once_ns + 0.1, 0.27) for one, time in LAPTOP.vectors.items()},
)
SINGLE = replace(
    LAPTOP, threads=1, together=LAPTOP.alone, exchange_ns=0.0, exchange_row_ns=0.0, handoff_ns=0.0
)
