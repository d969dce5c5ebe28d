"""Slots inside the CPU extension: rows are pointers, so a change of company moves nothing."""

import os

import nexus_cpu_kernels as extension
import numpy as np

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.cellular.slot_runner import (
    Integers,
    SlotState,
    check_slot_state,
    check_slots,
)
from nexus.backend.kernels.cpu_runner import shared_pool, threads_of
from nexus.backend.kernels.weights import Floats, StackWeights


class CpuSlots:
    """A `SlotRunner` over ``nexus_cpu_kernels.Slots``."""

    def __init__(
        self,
        weights: StackWeights,
        slots: int,
        *,
        precision: Precision = Precision.FP32,
        threads: int = 0,
    ) -> None:
        """Pack the weights; ``threads`` 0 means as many as the process has cores.

        Raises:
            InvalidArgumentError: the stack is bidirectional, or there is no slot.
        """
        check_slots(weights.shape, slots)
        self.shape = weights.shape
        self.slots = slots
        self._threads = threads_of(threads)
        self.name = (
            f"cpu slots {precision.value} {extension.features()[0]}, {self._threads} threads"
        )
        layers = [(one.w_ih, one.w_hh, one.b_ih, one.b_hh) for one in weights.layers]
        stack = extension.Stack(
            self.shape.cell.value, layers, self.shape.bidirectional, precision.value
        )
        self._slots = extension.Slots(stack, slots)

    def reset(self, slot: int, state: SlotState | None = None) -> None:
        """See `SlotRunner.reset`."""
        if state is None:
            self._slots.reset(slot)
            return
        check_slot_state(self.shape, state)
        self._slots.reset(slot, *state)

    def advance(self, slots: Integers, x: Floats, lengths: Integers) -> Floats:
        """See `SlotRunner.advance`."""
        y = np.empty((*x.shape[:2], self.shape.hidden_size), np.float32)
        self._slots.advance(shared_pool(self._threads, os.getpid()), slots, x, y, lengths)
        return y

    def state(self, slot: int) -> SlotState:
        """See `SlotRunner.state`."""
        size = (self.shape.layers, self.shape.hidden_size)
        h = np.empty(size, np.float32)
        c = np.empty(size, np.float32) if self.shape.cell.has_cell_state else None
        self._slots.read(slot, h, c)
        return SlotState(h, c)
