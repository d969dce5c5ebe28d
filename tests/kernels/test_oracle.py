"""The oracle against torch.nn, which shares none of its code, and against its own float64."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nexus.backend.kernels import oracle
from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import from_torch
from tests.kernels.recurrent_cases import random_case, relative_error

LENGTHS = (3, 7, 1, 7, 4)
CELLS = [Cell.LSTM, Cell.GRU]
"""Those that torch.nn knows."""


def built(
    cell: Cell, layers: int, *, bidirectional: bool = False, bias: bool = True
) -> torch.nn.RNNBase:
    torch.manual_seed(1)
    kind = torch.nn.LSTM if cell is Cell.LSTM else torch.nn.GRU
    return kind(5, 6, layers, bidirectional=bidirectional, bias=bias).requires_grad_(False)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_oracle_equals_torch_on_ragged_batches(
    cell: Cell, layers: int, bidirectional: bool
) -> None:
    module = built(cell, layers, bidirectional=bidirectional)
    weights = from_torch(module)
    module = module.double()
    x = torch.randn(7, 5, 5, dtype=torch.float64)
    h0, c0 = torch.randn(2, weights.shape.states, 5, 6, dtype=torch.float64)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    y, state = module(packed, (h0, c0) if cell is Cell.LSTM else h0)
    found = oracle.run(weights, x, LENGTHS, h0, c0)
    torch.testing.assert_close(found.y, pad_packed_sequence(y)[0], rtol=0, atol=1e-12)
    h_n, c_n = state if cell is Cell.LSTM else (state, None)
    torch.testing.assert_close(found.h_n, h_n, rtol=0, atol=1e-12)
    assert (found.c_n is None) == (c_n is None)
    if c_n is not None:
        torch.testing.assert_close(found.c_n, c_n, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_oracle_equals_torch_without_biases_and_states(cell: Cell) -> None:
    module = built(cell, 2, bias=False)
    weights = from_torch(module)
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    expected, _ = module.double()(x)
    torch.testing.assert_close(oracle.run(weights, x).y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", list(Cell))
def test_oracle_float32_differs_from_float64_only_by_rounding(cell: Cell) -> None:
    shape = StackShape(cell, 33, 65, layers=2, bidirectional=True)
    case = random_case(shape, steps=20, batch=3, seed=2, ragged=True, states=True)
    single, double = case.expected(torch.float32), case.expected()
    assert single.y.dtype is torch.float32
    assert 0 < relative_error(single.y.numpy(), double.y) < 2e-6


def test_oracle_resets_before_the_product_or_after_it() -> None:
    before, after = (
        random_case(StackShape(cell, 3, 4), steps=3, batch=2, seed=3, ragged=False, states=True)
        for cell in (Cell.GRU_RESET_BEFORE, Cell.GRU)
    )
    assert np.array_equal(before.weights.layers[0].w_hh, after.weights.layers[0].w_hh)
    assert (before.expected().y - after.expected().y).abs().max() > 1e-3
    # The first step of the first sequence once more, by the formula of Cell.GRU_RESET_BEFORE.
    assert before.h0 is not None
    weights, h = before.weights.layers[0], before.h0[0, 0].astype(np.float64)
    x = before.x[0, 0].astype(np.float64)
    rows = weights.w_ih @ x + weights.b_ih
    r, z = (
        1 / (1 + np.exp(-(rows[k : k + 4] + weights.w_hh[k : k + 4] @ h + weights.b_hh[k : k + 4])))
        for k in (0, 4)
    )
    n = np.tanh(rows[8:] + weights.w_hh[8:] @ (r * h) + weights.b_hh[8:])
    np.testing.assert_allclose(before.expected().y[0, 0].numpy(), (1 - z) * n + z * h, atol=1e-6)


def test_oracle_reads_nothing_beyond_a_length() -> None:
    shape = StackShape(Cell.GRU, 3, 4, layers=2, bidirectional=True)
    case = random_case(shape, steps=5, batch=3, seed=4, ragged=False, states=True)
    x = torch.from_numpy(case.x)
    poisoned = x.clone()
    poisoned[2:, 1] = float("nan")
    poisoned[0:, 2] = float("nan")
    clean = oracle.run(case.weights, x, (5, 2, 0))
    found = oracle.run(case.weights, poisoned, (5, 2, 0))
    assert torch.equal(clean.y, found.y)
    assert torch.equal(clean.h_n, found.h_n)
    assert not found.y[2:, 1].any()


def test_oracle_keeps_the_state_of_an_empty_sequence() -> None:
    shape = StackShape(Cell.LSTM, 3, 4, bidirectional=True)
    case = random_case(shape, steps=4, batch=2, seed=5, ragged=False, states=True)
    assert case.h0 is not None
    assert case.c0 is not None
    h0, c0 = torch.from_numpy(case.h0), torch.from_numpy(case.c0)
    found = oracle.run(case.weights, torch.from_numpy(case.x), (4, 0), h0, c0)
    assert found.c_n is not None
    assert torch.equal(found.h_n[:, 1], h0[:, 1])
    assert torch.equal(found.c_n[:, 1], c0[:, 1])


def test_oracle_step_by_step_equals_the_whole() -> None:
    shape = StackShape(Cell.LSTM, 3, 4)
    case = random_case(shape, steps=6, batch=2, seed=6, ragged=False, states=False)
    whole = case.expected()
    state: oracle.State = (torch.zeros(2, 4).double(), torch.zeros(2, 4).double())
    for t in range(6):
        state = oracle.step(
            Cell.LSTM, case.weights.layers[0], torch.from_numpy(case.x[t]).double(), state
        )
        assert torch.equal(state[0], whole.y[t])
