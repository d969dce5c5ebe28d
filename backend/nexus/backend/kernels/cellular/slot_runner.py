"""What keeps the states of a recurrent stack's slots, and advances them in any company."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.runner import check_state
from nexus.backend.kernels.weights import Floats
from nexus.core.errors import InvalidArgumentError

Integers = NDArray[np.int32]


class SlotState(NamedTuple):
    """A sequence's state between two steps: ``h`` and, of an LSTM, ``c``, each [layers, hidden]."""

    h: Floats
    c: Floats | None


class SlotRunner(Protocol):
    """A unidirectional stack with ``slots`` states. One call at a time."""

    @property
    def name(self) -> str:
        """What serves it, for logs."""
        ...

    @property
    def shape(self) -> StackShape:
        """The sizes of the stack."""
        ...

    @property
    def slots(self) -> int:
        """How many states there are."""
        ...

    def reset(self, slot: int, state: SlotState | None = None) -> None:
        """Begin another sequence in a slot; None: with zeros.

        Raises:
            InvalidArgumentError: the state is not of this stack's size.
        """
        ...

    def advance(self, slots: Integers, x: Floats, lengths: Integers) -> Floats:
        """Advance some slots, each by its own number of steps.

        Args:
            slots: [rows], no slot twice.
            x: [steps, rows, input]; what lies beyond a row's length is not used.
            lengths: [rows], each in 0..steps.

        Returns:
            The top layer's outputs [steps, rows, hidden]; undefined beyond a row's length.
        """
        ...

    def state(self, slot: int) -> SlotState:
        """A copy of the state after the slot's last step."""
        ...


def check_slots(shape: StackShape, slots: int) -> None:
    """Raise InvalidArgumentError unless the stack can be advanced in so many slots."""
    if slots < 1:
        raise InvalidArgumentError(f"{slots} slots, must be at least 1", reason="invalid_limit")
    if shape.bidirectional:
        raise InvalidArgumentError(
            "a bidirectional stack has no slots: its backward half starts at a sequence's end",
            reason="invalid_shape",
        )


def check_slot_state(shape: StackShape, state: SlotState) -> None:
    """Raise InvalidArgumentError unless the state is one of this stack."""
    if (state.c is not None) != shape.cell.has_cell_state:
        wanted = "needs" if state.c is None else "has no"
        raise InvalidArgumentError(
            f"a state of {shape.cell.value} {wanted} second part c", reason="invalid_shape"
        )
    for name, part in zip("hc", state, strict=True):
        if part is not None:
            check_state(name, part[:, None], (shape.layers, 1, shape.hidden_size))
