"""The table that tells a launch which sequences it works on: `Slot` in `source/arguments.h`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nexus.backend.kernels.cuda.tile import round_up
from nexus.core.errors import InvalidArgumentError

NO_STATE = -1


@dataclass(frozen=True, slots=True)
class Slot:
    """One sequence in one launch; rows are of packed x and y, states rows of the state buffers.

    Attributes:
        x_row: Its first row of x.
        y_row: Its first row of y.
        steps: Rows to go in this launch, 0 for an empty slot.
        state_in: Where it begins from; `NO_STATE` for zeros.
        state_out: Where its state is left, another row than ``state_in``; `NO_STATE` for nowhere.
    """

    x_row: int
    y_row: int
    steps: int
    state_in: int = NO_STATE
    state_out: int = NO_STATE

    def __post_init__(self) -> None:
        """A state is read by all blocks and written by each: never in place."""
        if self.state_in == self.state_out != NO_STATE or self.steps < 0:
            raise InvalidArgumentError(
                f"a slot of {self.steps} steps from state row {self.state_in} to "
                f"{self.state_out}: the rows must differ, and steps not be negative",
                reason="invalid_slot",
            )


EMPTY = Slot(0, 0, 0)


def slot_table(slots: Sequence[Slot], batch_tile: int) -> NDArray[np.int32]:
    """[slots, padded with empty ones to whole tiles][5], as the kernel reads it."""
    padded = [*slots, *[EMPTY] * (round_up(max(len(slots), 1), batch_tile) - len(slots))]
    return np.array(
        [(s.x_row, s.y_row, s.steps, s.state_in, s.state_out) for s in padded], np.int32
    )
