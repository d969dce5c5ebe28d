"""What chunks cost, measured: the steps of a quick runner are not lost in what surrounds them."""

import numpy as np
import pytest

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.cellular import measure
from nexus.backend.kernels.cellular.slot_runner import Integers, SlotState
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import Floats


class TimedRunner:
    """Takes a time of its own on a clock of its own, and computes nothing."""

    name = "timed"
    shape = StackShape(Cell.GRU, 1, 1)
    slots = 2

    def __init__(self, step_us: float) -> None:
        self.step_us = step_us
        self.clock_ns = 0
        self.longest = 0

    def now_ns(self) -> int:
        return self.clock_ns

    def reset(self, slot: int, state: SlotState | None = None) -> None:
        pass

    def advance(self, slots: Integers, x: Floats, lengths: Integers) -> Floats:
        assert len(slots) == len(lengths)
        self.longest = max(self.longest, len(x))
        self.clock_ns += round(1_000 * (50 + self.step_us * len(x) * len(slots)))
        return np.zeros((*x.shape[:2], 1), np.float32)

    def state(self, slot: int) -> SlotState:
        assert slot < self.slots
        return SlotState(np.zeros((1, 1), np.float32), None)


@pytest.mark.parametrize(
    ("step_us", "longest"), [(400.0, 4), (40.0, 32), (0.5, 2_048), (0.01, 4_096)]
)
def test_cost_is_measured_over_as_many_steps_as_take_their_time(
    step_us: float, longest: int
) -> None:
    runner = TimedRunner(step_us)
    cost = measure.measure_cost(runner, runner.now_ns)
    assert runner.longest == longest
    assert cost.steps_us[1:] == pytest.approx((step_us, 2 * step_us), rel=0.01)
    assert cost.overheads_us[1:] == pytest.approx((50, 50), rel=0.01)
