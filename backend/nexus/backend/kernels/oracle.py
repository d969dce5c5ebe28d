"""The reference that every kernel is judged by: each step written out, in plain torch.

No speed is sought. In float64 it is exact enough to judge float32 kernels; in float32 it shows what
rounding alone does. It shares no arithmetic with torch.nn, against which it is itself checked.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.weights import LayerWeights, StackWeights

State: TypeAlias = tuple[Tensor, Tensor | None]
"""h and c of one layer and direction, each [batch, hidden]; c only where the cell has it."""


class Sequences(NamedTuple):
    """``y`` [time, batch, D*H], and the final states [L*D, batch, H]; ``c_n`` only of an LSTM."""

    y: Tensor
    h_n: Tensor
    c_n: Tensor | None


def run(
    weights: StackWeights,
    x: Tensor,
    lengths: Sequence[int] | None = None,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
) -> Sequences:
    """Run a stack over a batch of sequences, in the precision of ``x``.

    Args:
        weights: Of all layers and directions.
        x: [time, batch, input]. What lies beyond a sequence's length is not read.
        lengths: Of each sequence, 0..time; None means that all are as long as ``x``.
        h0: [L*D, batch, hidden], zeros by default.
        c0: The same for an LSTM's second state.

    Returns:
        Outputs, zero beyond each sequence's length, and the states after each one's last step (the
        first, for the backward direction).
    """
    shape = weights.shape
    zeros = x.new_zeros(shape.states, x.shape[1], shape.hidden_size)
    h0 = zeros if h0 is None else h0
    c0 = zeros if c0 is None else c0
    steps = torch.tensor([len(x)] * x.shape[1] if lengths is None else list(lengths))
    finals: list[State] = []
    for layer in range(shape.layers):
        outputs = []
        for direction in range(shape.directions):
            index = layer * shape.directions + direction
            state: State = (h0[index], c0[index] if shape.cell.has_cell_state else None)
            one = _Direction(shape.cell, weights.layers[index], x.dtype, backward=direction == 1)
            y, state = one.run(x, steps, state)
            outputs.append(y)
            finals.append(state)
        x = torch.cat(outputs, dim=2)
    cells = [c for _, c in finals if c is not None]
    return Sequences(x, torch.stack([h for h, _ in finals]), torch.stack(cells) if cells else None)


def step(cell: Cell, weights: LayerWeights, x: Tensor, state: State) -> State:
    """One step of one layer: x [batch, input] and the state before it to the state after it."""
    return _step(cell, _tensors(weights, x.dtype), x, state)


def _step(cell: Cell, tensors: tuple[Tensor, ...], x: Tensor, state: State) -> State:
    w_ih, w_hh, b_ih, b_hh = tensors
    return _STEPS[cell](x @ w_ih.T + b_ih, w_hh.T, b_hh, state)


def _tensors(weights: LayerWeights, dtype: torch.dtype) -> tuple[Tensor, ...]:
    arrays = (weights.w_ih, weights.w_hh, weights.b_ih, weights.b_hh)
    return tuple(torch.from_numpy(array).to(dtype) for array in arrays)


class _Direction:
    """One layer in one direction."""

    def __init__(
        self, cell: Cell, weights: LayerWeights, dtype: torch.dtype, *, backward: bool
    ) -> None:
        self._cell = cell
        self._tensors = _tensors(weights, dtype)
        self._backward = backward

    def run(self, x: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """A sequence's steps are those before its length; in the others its state stands still."""
        y = x.new_zeros(len(x), x.shape[1], state[0].shape[1])
        for t in reversed(range(len(x))) if self._backward else range(len(x)):
            active = (t < lengths).unsqueeze(1)
            after = _step(self._cell, self._tensors, torch.where(active, x[t], 0), state)
            state = (torch.where(active, after[0], state[0]), _kept(active, after[1], state[1]))
            y[t] = torch.where(active, state[0], 0)
        return y, state


def _kept(active: Tensor, after: Tensor | None, before: Tensor | None) -> Tensor | None:
    if after is None or before is None:
        return None
    return torch.where(active, after, before)


def _lstm(projected: Tensor, w_hh: Tensor, b_hh: Tensor, state: State) -> State:
    h, c = state
    assert c is not None
    i, f, g, o = (projected + h @ w_hh + b_hh).chunk(4, dim=1)
    after = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(after), after


def _gru(projected: Tensor, w_hh: Tensor, b_hh: Tensor, state: State) -> State:
    h, _ = state
    x_r, x_z, x_n = projected.chunk(3, dim=1)
    h_r, h_z, h_n = (h @ w_hh + b_hh).chunk(3, dim=1)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    z = torch.sigmoid(x_z + h_z)
    return (1 - z) * n + z * h, None


def _gru_reset_before(projected: Tensor, w_hh: Tensor, b_hh: Tensor, state: State) -> State:
    h, _ = state
    x_r, x_z, x_n = projected.chunk(3, dim=1)
    w_r, w_z, w_n = w_hh.chunk(3, dim=1)
    b_r, b_z, b_n = b_hh.chunk(3)
    r = torch.sigmoid(x_r + h @ w_r + b_r)
    z = torch.sigmoid(x_z + h @ w_z + b_z)
    n = torch.tanh(x_n + (r * h) @ w_n + b_n)
    return (1 - z) * n + z * h, None


_STEPS = {Cell.LSTM: _lstm, Cell.GRU: _gru, Cell.GRU_RESET_BEFORE: _gru_reset_before}
