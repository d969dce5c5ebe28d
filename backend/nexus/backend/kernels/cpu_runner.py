"""Recurrent stacks through the CPU extension (backend/cpu_kernels).

Threads are shared by all stacks of a process: workers are pinned, so two pools would fight for the
same cores, and the device executes one batch at a time anyway.
"""

import math
import os
from collections.abc import Callable, Sequence
from functools import lru_cache

import nexus_cpu_kernels as extension
import numpy as np

from nexus.backend.kernels.call_plans import CallPlans
from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_measurement import extension_plan
from nexus.backend.kernels.runner import (
    Lengths,
    Outputs,
    check_input,
    check_state,
    check_step,
    checked_lengths,
)
from nexus.backend.kernels.weights import Floats, StackWeights
from nexus.core.errors import InvalidArgumentError

NARROW_BATCH_MAX = 2
"""Rows up to which a step costs what its weights' bytes cost; beyond them, multiplications do."""
NARROW_BYTES_MIN = {"avx512": 1 << 20, "avx2": 1 << 22}
"""From which size of a layer's fp32 state matrix three bytes are faster, by instruction set.

A smaller matrix stays in a near cache, at no cost; narrow registers unpack more slowly. Where a set
is not named, they are never faster.
"""
NARROW_ERROR_MAX = 5e-6
"""By which 3-byte weights may change an output: half of what fp32 promises."""
PROBE_STEPS = 16
CALLS_MAX = 1024
"""Sizes of calls whose plans lie ready; of a further size it is made anew, in microseconds."""


class CpuRunner:
    """A stack packed for this CPU.

    A few rows at a time in fp32 may be served by weights of three bytes, where a probe at load
    shows that outputs differ by less than NARROW_ERROR_MAX; ``narrow_batch_max`` 0 forbids it.
    With the constants of this CPU the cost model plans each call (threads, what they divide,
    chunks, bytes a weight); without, the extension's own rules do.
    """

    def __init__(
        self,
        weights: StackWeights,
        *,
        precision: Precision = Precision.FP32,
        threads: int = 0,
        narrow_batch_max: int = NARROW_BATCH_MAX,
        constants: CpuConstants | None = None,
    ) -> None:
        """Pack the weights.

        Args:
            weights: Copied.
            precision: What they are kept in.
            threads: 0 means as many as the process has cores.
            narrow_batch_max: Rows up to which three bytes may serve fp32.
            constants: This CPU's, taken for as many threads.

        Raises:
            InvalidArgumentError: the CPU kernels have no such precision.
        """
        if precision is Precision.FP16:
            raise InvalidArgumentError(
                "the CPU kernels keep weights in fp32, fp24 or bf16; fp16 is for GPUs",
                reason="invalid_precision",
            )
        self.shape = weights.shape
        self._threads = threads_of(threads)
        self._wide = _packed(weights, precision)
        self._narrow = None
        if precision is Precision.FP32 and narrow_batch_max:
            self._narrow = self._probed(weights)
        self._narrow_batch_max = narrow_batch_max if self._narrow else 0
        self._ready = _ready_plans(self._plans(precision, constants))
        kept = precision.value + (f" (fp24 up to batch {narrow_batch_max})" if self._narrow else "")
        planned = ", planned by the cost model" if constants else ""
        self.name = f"cpu {kept} {extension.features()[0]}, {self._threads} threads{planned}"
        self.weight_bytes = sum(
            stack.weight_bytes for stack in (self._wide, self._narrow) if stack is not None
        )

    def run(
        self,
        x: Floats,
        lengths: Sequence[int] | Lengths | None = None,
        h0: Floats | None = None,
        c0: Floats | None = None,
    ) -> Outputs:
        """See `RecurrentRunner.run`."""
        check_input(self.shape, x)
        steps, batch, _ = x.shape
        size = (self.shape.states, batch, self.shape.hidden_size)
        check_state("h0", h0, size)
        check_state("c0", c0, size)
        y = np.empty((steps, batch, self.shape.output_size), np.float32)
        h_n = np.empty(size, np.float32)
        c_n = np.empty(size, np.float32) if self.shape.cell.has_cell_state else None
        stack, plan = self._planned(batch, steps)
        stack.run(
            shared_pool(self._threads, os.getpid()),
            x if x.strides[2] == x.itemsize else np.ascontiguousarray(x),
            y,
            checked_lengths(lengths, x),
            None if h0 is None else np.ascontiguousarray(h0),
            None if c0 is None else np.ascontiguousarray(c0),
            h_n,
            c_n,
            plan,
        )
        return Outputs(y, h_n, c_n)

    def step(self, x: Floats, h: Floats, c: Floats | None = None) -> Floats:
        """See `RecurrentRunner.step`."""
        y = np.empty((len(x), self.shape.hidden_size), np.float32)
        stack, plan = self._planned(len(x), 1)
        try:
            stack.step(shared_pool(self._threads, os.getpid()), x, y, h, c, plan)
        except (ValueError, TypeError):
            # Looked into only now: a step takes microseconds, and the checks are as many more.
            check_step(self.shape, x, h, c)
            raise
        return y

    def _planned(self, batch: int, steps: int) -> tuple[extension.Stack, extension.Plan | None]:
        plan = None
        narrow = self._narrow if batch <= self._narrow_batch_max else None
        if self._ready is not None:
            precision, plan = self._ready(batch, steps)
            narrow = narrow if precision is Precision.FP24 else None
        return self._wide if narrow is None else narrow, plan

    def _plans(self, precision: Precision, constants: CpuConstants | None) -> CallPlans | None:
        if constants is None:
            return None
        kept = {precision} | ({Precision.FP24} if self._narrow else set())
        return CallPlans(self.shape, kept, constants)

    def _probed(self, weights: StackWeights) -> extension.Stack | None:
        """The stack with 3-byte weights, where it is faster and as good."""
        least = NARROW_BYTES_MIN.get(extension.features()[0], math.inf)
        if max(one.w_hh.nbytes for one in weights.layers) < least:
            return None
        narrow = _packed(weights, Precision.FP24)
        pool = shared_pool(self._threads, os.getpid())
        x = _probe(weights.shape)
        y, wanted = (
            np.empty((PROBE_STEPS, 1, weights.shape.output_size), np.float32) for _ in range(2)
        )
        narrow.run(pool, x, y)
        self._wide.run(pool, x, wanted)
        return narrow if np.abs(y - wanted).max() < NARROW_ERROR_MAX else None


@lru_cache(maxsize=8)
def shared_pool(threads: int, process: int) -> extension.Pool:
    """The process's workers; ``process`` is in the key because a forked child has none of them."""
    del process
    return extension.Pool(threads)


def threads_of(threads: int) -> int:
    """So many; 0 means as many as the process has cores."""
    return threads or len(os.sched_getaffinity(0))


def _ready_plans(
    plans: CallPlans | None,
) -> Callable[[int, int], tuple[Precision, extension.Plan]] | None:
    """Plans as the extension takes them: looked up in less time than a step takes."""
    if plans is None:
        return None

    @lru_cache(CALLS_MAX)
    def ready(batch: int, steps: int) -> tuple[Precision, extension.Plan]:
        plan = plans.of(batch, steps)
        return plan.precision, extension_plan(extension, plan)

    return ready


def _packed(weights: StackWeights, precision: Precision) -> extension.Stack:
    shape = weights.shape
    layers = [(one.w_ih, one.w_hh, one.b_ih, one.b_hh) for one in weights.layers]
    return extension.Stack(shape.cell.value, layers, shape.bidirectional, precision.value)


def _probe(shape: StackShape) -> Floats:
    chance = np.random.default_rng(0)
    return chance.standard_normal((PROBE_STEPS, 1, shape.input_size)).astype(np.float32)
