"""Slots over any runner: states are gathered before a chunk and scattered after it.

The copies are what slots inside a kernel save; beside onnxruntime's own call they are small.
"""

import numpy as np

from nexus.backend.kernels.cellular.slot_runner import (
    Integers,
    SlotState,
    check_slot_state,
    check_slots,
)
from nexus.backend.kernels.runner import RecurrentRunner
from nexus.backend.kernels.weights import Floats


class GatheredSlots:
    """A `SlotRunner` whose states lie in two arrays here."""

    def __init__(self, runner: RecurrentRunner, slots: int) -> None:
        """Begin with zeros in every slot.

        Raises:
            InvalidArgumentError: the stack is bidirectional, or there is no slot.
        """
        check_slots(runner.shape, slots)
        self.shape = runner.shape
        self.slots = slots
        self.name = f"{runner.name}, states gathered"
        self._runner = runner
        size = (self.shape.layers, slots, self.shape.hidden_size)
        self._h = np.zeros(size, np.float32)
        self._c = np.zeros(size, np.float32) if self.shape.cell.has_cell_state else None

    def reset(self, slot: int, state: SlotState | None = None) -> None:
        """See `SlotRunner.reset`."""
        if state is not None:
            check_slot_state(self.shape, state)
        self._h[:, slot] = 0 if state is None else state.h
        if self._c is not None:
            self._c[:, slot] = 0 if state is None else state.c

    def advance(self, slots: Integers, x: Floats, lengths: Integers) -> Floats:
        """See `SlotRunner.advance`."""
        c0 = None if self._c is None else self._c[:, slots]
        y, h_n, c_n = self._runner.run(x, lengths, self._h[:, slots], c0)
        self._h[:, slots] = h_n
        if self._c is not None:
            self._c[:, slots] = c_n
        return y

    def state(self, slot: int) -> SlotState:
        """See `SlotRunner.state`."""
        c = None if self._c is None else self._c[:, slot].copy()
        return SlotState(self._h[:, slot].copy(), c)
