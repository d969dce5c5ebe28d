"""By which plan the CPU kernels serve a call: the cost model's pick, remembered by size of call."""

from collections.abc import Collection
from functools import lru_cache

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_plan import CpuPlan
from nexus.backend.kernels.model.cpu_planner import decide
from nexus.backend.kernels.model.workload import BATCH_MAX, STEPS_MAX, Workload

SIZES_MAX = 256
"""Size classes whose picks are kept: more than powers of two that fit into memory."""


class CallPlans:
    """The picks for one stack's calls.

    A pick takes some milliseconds, longer than many a call, so there is one for each class of sizes
    and no more: batch and steps are rounded up to powers of two. Times hardly bend in between.
    """

    def __init__(
        self, shape: StackShape, kept: Collection[Precision], constants: CpuConstants
    ) -> None:
        """Plan for weights that are ``kept`` in one precision, or in fp32 and fp24."""
        self._shape = shape
        self._kept = frozenset(kept)
        self._asked = Precision.FP32 if Precision.FP32 in self._kept else next(iter(self._kept))
        self._constants = constants
        self._of_class = lru_cache(SIZES_MAX)(self._picked)

    def of(self, batch: int, steps: int) -> CpuPlan:
        """The plan for a call; an empty one is planned as one row of one step."""
        return self._of_class(_rounded(batch, BATCH_MAX), _rounded(steps, STEPS_MAX))

    def _picked(self, batch: int, steps: int) -> CpuPlan:
        ranked = decide(Workload(self._shape, batch, steps, self._asked), self._constants).ranked
        plans = (one.configuration for one in ranked)
        return next(plan for plan in plans if plan.precision in self._kept)


def _rounded(count: int, most: int) -> int:
    return min(1 << max(count - 1, 0).bit_length(), most)
