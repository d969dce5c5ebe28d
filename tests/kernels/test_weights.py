"""Weights from other layouts mean the same: judged by what the layers compute."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nexus.backend.kernels import oracle
from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import (
    LayerWeights,
    StackWeights,
    from_keras,
    from_onnx,
    from_torch,
    random_weights,
    reordered,
)
from nexus.core.errors import InvalidArgumentError

Doubles = NDArray[np.float64]
CELLS = list(Cell)


def sigmoid(values: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-values)))


def small(cell: Cell, seed: int = 0) -> LayerWeights:
    return random_weights(StackShape(cell, 3, 2), np.random.default_rng(seed)).layers[0]


@pytest.mark.parametrize("cell", CELLS)
def test_weights_from_onnx_undo_its_gate_order(cell: Cell) -> None:
    ours = small(cell)
    order = {Cell.LSTM: "iofg"}.get(cell, "zrn")
    w, r, b_ih, b_hh = (
        reordered(cell, array, cell.gate_order, order)
        for array in (ours.w_ih, ours.w_hh, ours.b_ih, ours.b_hh)
    )
    (back,) = from_onnx(cell, w[None], r[None], np.concatenate([b_ih, b_hh])[None])
    for found, expected in zip(fields(back), fields(ours), strict=True):
        assert np.array_equal(found, expected)
    if cell is Cell.LSTM:  # i, o, f, g: the second block of ONNX is our last
        assert np.array_equal(w[2:4], ours.w_ih[6:8])
        assert np.array_equal(w[4:6], ours.w_ih[2:4])


def fields(weights: LayerWeights) -> tuple[NDArray[np.float32], ...]:
    return weights.w_ih, weights.w_hh, weights.b_ih, weights.b_hh


def test_weights_from_onnx_without_biases_are_zero() -> None:
    ours = small(Cell.GRU)
    (back,) = from_onnx(Cell.GRU, ours.w_ih[None], ours.w_hh[None])
    assert back.b_ih.shape == (6,)
    assert not back.b_ih.any()
    assert not back.b_hh.any()


def test_weights_from_keras_lstm_are_transposed() -> None:
    chance = np.random.default_rng(1)
    kernel, recurrent, bias = (
        chance.standard_normal(size).astype(np.float32) for size in ((3, 8), (2, 8), (8,))
    )
    weights = from_keras(Cell.LSTM, kernel, recurrent, bias)
    assert np.array_equal(weights.w_ih, kernel.T)
    assert np.array_equal(weights.w_hh, recurrent.T)
    assert np.array_equal(weights.b_ih + weights.b_hh, bias)


@pytest.mark.parametrize("cell", [Cell.GRU, Cell.GRU_RESET_BEFORE])
def test_weights_from_keras_gru_compute_what_keras_does(cell: Cell) -> None:
    """Keras' own formulas (z, r, h in its columns), written out for one step."""
    chance = np.random.default_rng(2)
    after = cell is Cell.GRU
    kernel, recurrent = (
        chance.standard_normal(size).astype(np.float32) for size in ((3, 6), (2, 6))
    )
    bias = chance.standard_normal((2, 6) if after else (6,)).astype(np.float32)
    x, h = chance.standard_normal(3), chance.standard_normal(2)
    b_x, b_h = bias if after else (bias, np.zeros(6))
    x_z, x_r, x_h = np.split(x @ kernel + b_x, 3)
    z = sigmoid(x_z + h @ recurrent[:, :2] + b_h[:2])
    r = sigmoid(x_r + h @ recurrent[:, 2:4] + b_h[2:4])
    inner = r * (h @ recurrent[:, 4:] + b_h[4:]) if after else (r * h) @ recurrent[:, 4:]
    expected = z * h + (1 - z) * np.tanh(x_h + inner)

    weights = from_keras(cell, kernel, recurrent, bias)
    found, _ = oracle.step(cell, weights, torch.tensor(x[None]), (torch.tensor(h[None]), None))
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)


def test_weights_from_torch_are_a_copy() -> None:
    layer = torch.nn.LSTM(3, 2, bidirectional=True)
    weights = from_torch(layer)
    before = weights.layers[1].w_ih.copy()
    with torch.no_grad():
        layer.get_parameter("weight_ih_l0_reverse").zero_()
    assert before.any()
    assert np.array_equal(weights.layers[1].w_ih, before)
    assert weights.shape == StackShape(Cell.LSTM, 3, 2, bidirectional=True)


@pytest.mark.parametrize(
    "module", [torch.nn.RNN(3, 2), torch.nn.LSTM(3, 4, proj_size=2), torch.nn.Linear(3, 2)]
)
def test_weights_from_torch_refuse_what_they_cannot_hold(module: torch.nn.Module) -> None:
    with pytest.raises(InvalidArgumentError, match="without projections"):
        from_torch(module)


def test_weights_of_the_wrong_size_are_named() -> None:
    good = small(Cell.GRU)
    bad = LayerWeights(good.w_ih, good.w_hh[:, :1], good.b_ih, good.b_hh)
    with pytest.raises(InvalidArgumentError, match=r"w_hh of the gru layer 0 .*\[6, 2\]"):
        StackWeights(StackShape(Cell.GRU, 3, 2), (bad,))
    with pytest.raises(InvalidArgumentError, match="1 sets of weights for 2"):
        StackWeights(StackShape(Cell.GRU, 3, 2, layers=2), (good,))
    with pytest.raises(InvalidArgumentError, match="4 gates of equal size"):
        reordered(Cell.LSTM, np.zeros(6), "ifgo", "iofg")


@pytest.mark.parametrize("sizes", [(3, 0, 1), (3, 2, 65), (-1, 2, 1)])
def test_stack_shape_refuses_sizes_out_of_bounds(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"(input_size|hidden_size|layers)=.*in 1\.\."):
        StackShape(Cell.LSTM, *sizes)


def test_stack_shape_upper_layers_take_both_directions() -> None:
    shape = StackShape(Cell.GRU, 3, 2, layers=2, bidirectional=True)
    assert [shape.layer(0).input_size, shape.layer(1).input_size] == [3, 4]
    assert (shape.states, shape.output_size, shape.layer(1).weights) == (4, 4, 6 * (4 + 2))


def test_precision_says_its_bytes() -> None:
    assert [precision.weight_bytes for precision in Precision] == [4, 3, 2, 2]
