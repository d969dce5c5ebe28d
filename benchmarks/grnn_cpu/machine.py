"""What this machine could do at best, measured by two plain routines of torch.

Multiplications: a large matrix product. Bandwidth: a matrix-vector product as large as the weights,
which reads each of them once, as a step at batch 1 must. Both are what a good library reaches, not
what the data sheet says, so a kernel that is better than torch may exceed its share of 100 %.
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
    """About two seconds."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, PRODUCT, PRODUCT)
    product = torch.empty(PRODUCT, PRODUCT)
    fma = PRODUCT**3 / _fastest_us(lambda: torch.mm(a, b, out=product))
    speeds = {}
    for kb in SIZES_KB:
        matrix = torch.randn(kb * 1024 // 4 // 256, 256)
        vector, result = torch.randn(256), torch.empty(len(matrix))
        speeds[kb] = kb * 1024 / _fastest_us(_product(matrix, vector, result))
    return Machine(fma, speeds)


def _product(matrix: torch.Tensor, vector: torch.Tensor, result: torch.Tensor) -> Callable[[], Any]:
    return lambda: torch.mv(matrix, vector, out=result)


def _fastest_us(call: Callable[[], Any]) -> float:
    durations = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        durations.append(time.perf_counter() - started)
    return min(durations) * 1e6
