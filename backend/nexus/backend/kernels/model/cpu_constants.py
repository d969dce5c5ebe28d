"""What one CPU costs, in a handful of numbers that `cpu_measurement.py` takes in two seconds."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from nexus.backend.kernels.cell import Cell, Precision

OVERLAP = 2.5
"""How far loads hide behind arithmetic: times a and b together take (a^p + b^p)^(1/p). 1 would be
one after the other, infinity a perfect roofline; on a Zen 3 core 2.5 meets steps of 1, 2 and 3 rows
from L2 and from L3 within some percent."""


@dataclass(frozen=True, slots=True)
class VectorTime:
    """A vector of weights, in nanoseconds: ``once`` to load and widen it, ``row`` for each use."""

    once_ns: float
    row_ns: float

    def block_ns(self, rows: int) -> float:
        """One vector times a block of rows."""
        return self.once_ns + rows * self.row_ns


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes per nanosecond of one thread, by the bytes that it goes through again and again."""

    working_sets: tuple[int, ...]
    bytes_per_ns: tuple[float, ...]

    def at(self, working_set: float) -> float:
        """Between two measured sizes, on a line over their logarithms; beyond them, the last's."""
        upper = bisect_left(self.working_sets, working_set)
        if upper == 0:
            return self.bytes_per_ns[0]
        if upper == len(self.working_sets):
            return self.bytes_per_ns[-1]
        low, high = self.working_sets[upper - 1 : upper + 1]
        share = math.log(working_set / low) / math.log(high / low)
        slow, fast = self.bytes_per_ns[upper - 1 : upper + 1]
        return slow + share * (fast - slow)


@dataclass(frozen=True, slots=True)
class CpuConstants:
    """One CPU with one instruction set.

    ``cells_ns``: activations and state of one vector of units of one row. ``step_ns``: what a step
    costs a thread beside its tiles. ``exchange_ns``: telling the others and waiting, with one row;
    ``exchange_row_ns``: each further row's h from another core's cache, up to EXCHANGE_ROWS.
    ``call_ns`` and ``handoff_ns``: a call from Python on one thread, and what more threads add.
    """

    instructions: str
    threads: int
    chunk_bytes_max: int
    """Half of a core's second-level cache."""
    vectors: Mapping[Precision, VectorTime]
    cells_ns: Mapping[Cell, float]
    alone: Bandwidth
    together: Bandwidth
    """Of each thread, when all of them load at once."""
    step_ns: float
    exchange_ns: float
    exchange_row_ns: float
    call_ns: float
    handoff_ns: float

    def to_data(self) -> dict[str, Any]:
        """Plain data for a file."""
        data = asdict(self)
        data["vectors"] = {name.value: asdict(one) for name, one in self.vectors.items()}
        data["cells_ns"] = {cell.value: time_ns for cell, time_ns in self.cells_ns.items()}
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The reverse of `to_data`; raise KeyError, TypeError or ValueError on anything else."""
        scalars = ("step_ns", "exchange_ns", "exchange_row_ns", "call_ns", "handoff_ns")
        return cls(
            instructions=str(data["instructions"]),
            threads=int(_positive(data["threads"])),
            chunk_bytes_max=int(_positive(data["chunk_bytes_max"])),
            vectors={
                Precision(name): VectorTime(_positive(one["once_ns"], 0), _positive(one["row_ns"]))
                for name, one in data["vectors"].items()
            },
            cells_ns={Cell(name): _positive(value) for name, value in data["cells_ns"].items()},
            alone=_bandwidth(data["alone"]),
            together=_bandwidth(data["together"]),
            **{name: _positive(data[name], 0) for name in scalars},
        )


def together(first: float, second: float) -> float:
    """Two times that overlap: see OVERLAP."""
    large, small = max(first, second), min(first, second)
    if small <= 0:
        return large
    return large * float((1 + (small / large) ** OVERLAP) ** (1 / OVERLAP))


def apart(both: float, known: float, least: float) -> float:
    """The other of two times that overlap; ``least`` where it cannot be told from noise.

    A difference of two noisy times, as ``both`` may be, can be negative.
    """
    rest = max(both, 0.0) ** OVERLAP - known**OVERLAP
    return max(float(rest ** (1 / OVERLAP)) if rest > 0 else 0.0, least)


def _bandwidth(data: Mapping[str, Sequence[float]]) -> Bandwidth:
    sizes = tuple(int(_positive(size)) for size in data["working_sets"])
    rates = tuple(_positive(rate) for rate in data["bytes_per_ns"])
    if not sizes or len(sizes) != len(rates) or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"bandwidths {rates} of working sets {sizes}")
    return Bandwidth(sizes, rates)


def _positive(value: Any, least: float = 1e-9) -> float:
    number = float(value)
    if not least <= number < math.inf:
        raise ValueError(f"{value!r} is not a time or rate")
    return number
