"""What serves one stack of recurrent layers, whichever library or kernel does the work."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import Floats
from nexus.core.errors import InvalidArgumentError

Lengths = NDArray[np.int32]


class Outputs(NamedTuple):
    """``y`` [time, batch, D*H], zero beyond each length; ``h_n`` and ``c_n`` [L*D, batch, H].

    ``c_n`` is None for a cell without a second state.
    """

    y: Floats
    h_n: Floats
    c_n: Floats | None


class RecurrentRunner(Protocol):
    """A stack whose weights are packed and resident. One call at a time."""

    @property
    def name(self) -> str:
        """What serves it, for logs: ``cpu fp32 avx512, 2 threads``."""
        ...

    @property
    def shape(self) -> StackShape:
        """The sizes of the stack."""
        ...

    @property
    def weight_bytes(self) -> int:
        """What the packed weights occupy."""
        ...

    def run(
        self,
        x: Floats,
        lengths: Sequence[int] | Lengths | None = None,
        h0: Floats | None = None,
        c0: Floats | None = None,
    ) -> Outputs:
        """Run a batch of sequences from their first step to their last.

        Args:
            x: [time, batch, input], at least one step of one sequence.
            lengths: Of each sequence, 0..time; None: all are as long as ``x``.
            h0: [L*D, batch, hidden] before the first step; None: zeros.
            c0: The same of an LSTM's second state.

        Raises:
            InvalidArgumentError: a shape does not fit the stack; names what was expected.
        """
        ...

    def step(self, x: Floats, h: Floats, c: Floats | None = None) -> Floats:
        """Advance every sequence by one step; ``h`` and ``c`` change in place.

        Args:
            x: [batch, input].
            h: [L, batch, hidden], contiguous.
            c: The same for an LSTM, None otherwise.

        Returns:
            The top layer's output [batch, hidden], in memory of its own.

        Raises:
            InvalidArgumentError: a shape does not fit, or the stack is bidirectional.
        """
        ...


def checked_lengths(lengths: Sequence[int] | Lengths | None, x: Floats) -> Lengths | None:
    """The lengths as the kernels take them; raise InvalidArgumentError where one is impossible."""
    if lengths is None:
        return None
    array = np.ascontiguousarray(lengths, np.int32)
    steps, batch = x.shape[:2]
    if array.shape != (batch,) or (array < 0).any() or (array > steps).any():
        raise InvalidArgumentError(
            f"lengths {array.tolist()} of {batch} sequences, each must be in 0..{steps}",
            reason="invalid_shape",
        )
    return array


def check_input(shape: StackShape, x: Floats) -> None:
    """Raise InvalidArgumentError unless x is [time, batch, input] with at least one step of one."""
    if x.ndim != 3 or 0 in x.shape or x.shape[2] != shape.input_size:  # noqa: PLR2004 - T, B, I
        raise InvalidArgumentError(
            f"input {list(x.shape)} for a stack that takes [time, batch, {shape.input_size}], "
            "none of them 0",
            reason="invalid_shape",
        )


def check_state(name: str, state: Floats | None, size: tuple[int, int, int]) -> None:
    """Raise InvalidArgumentError unless a given state has this size [L*D, batch, hidden]."""
    if state is not None and state.shape != size:
        raise InvalidArgumentError(
            f"{name} {list(state.shape)}, must be {list(size)}", reason="invalid_shape"
        )


def check_step(shape: StackShape, x: Floats, h: Floats, c: Floats | None) -> None:
    """Raise InvalidArgumentError unless the stack can be stepped with these."""
    if shape.bidirectional:
        raise InvalidArgumentError(
            "a bidirectional stack needs whole sequences: its backward half starts at their end",
            reason="invalid_shape",
        )
    if (c is not None) != shape.cell.has_cell_state:
        wanted = "needs" if c is None else "has no"
        raise InvalidArgumentError(
            f"a step of {shape.cell.value} {wanted} second state c", reason="invalid_shape"
        )
    check_input(shape, x[None])
    size = (shape.layers, len(x), shape.hidden_size)
    check_state("h", h, size)
    check_state("c", c, size)
