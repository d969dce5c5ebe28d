"""What this machine could do at best, measured by two plain routines of torch.

Multiplications: a large matrix product. Bandwidth: sums over as many bytes as the weights have,
which read each of them once, as a step at batch 1 must. Both are what a good library reaches, not
what the data sheet says, so a kernel that is better than torch may exceed its share of 100 %.
Nothing of ours is asked: a limit taken by the code that is judged by it would move with that code's
faults.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.grnn_cpu.regimes import Point

SIZES_KB = (64, 256, 1024, 4096, 16384, 65536)
PRODUCT = 1536
REPEATS = 25
PASSES = (2, 10)
"""Over the same bytes in one call. The difference counts: a call alone costs as much as 100 KB."""
LEAST_US = 0.1


@dataclass(frozen=True, slots=True)
class Machine:
    """Fp32 multiply-adds a microsecond, and bytes a microsecond by the size of what is read."""

    fma_per_us: float
    bytes_per_us: dict[int, float]

    def limit_us(self, point: Point) -> float:
        """A lower bound: inputs projected at once, then each step's products or weights' bytes."""
        total = 0.0
        for index in range(point.layers):
            layer = point.shape.layer(index)
            inputs = layer.rows * layer.input_size * point.steps * point.batch
            state = layer.rows * layer.hidden_size
            step_us = max(state * point.batch / self.fma_per_us, 4 * state / self._speed(4 * state))
            total += inputs / self.fma_per_us + point.steps * step_us
        return total

    def _speed(self, size_bytes: int) -> float:
        fitting = [kb for kb in self.bytes_per_us if kb * 1024 >= size_bytes]
        return self.bytes_per_us[min(fitting, default=max(self.bytes_per_us))]


def measure_machine(threads: int = 2) -> Machine:
    """Some seconds."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, PRODUCT, PRODUCT)
    product = torch.empty(PRODUCT, PRODUCT)
    fma = PRODUCT**3 / _fastest_us(lambda: torch.mm(a, b, out=product))
    torch.set_num_threads(1)
    speeds = {kb: threads * reading_speed(kb * 1024 // threads) for kb in SIZES_KB}
    torch.set_num_threads(threads)
    return Machine(fma, speeds)


def reading_speed(part_bytes: int) -> float:
    """Bytes a microsecond of one thread that reads a part again and again, the others at rest.

    Threads that share a cache or the memory are slower together: so the limit stays one.
    """
    part = torch.randn(part_bytes // 4)
    few, many = (_fastest_us(_sums(part, passes)) for passes in PASSES)
    return (PASSES[1] - PASSES[0]) * part_bytes / max(many - few, LEAST_US)


def _sums(part: torch.Tensor, passes: int) -> Callable[[], Any]:
    repeated, result = part.expand(passes, -1), torch.empty(passes)
    return lambda: torch.sum(repeated, 1, out=result)


def _fastest_us(call: Callable[[], Any]) -> float:
    durations = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        durations.append(time.perf_counter() - started)
    return min(durations) * 1e6
