"""Random stacks, inputs and ragged lengths, and the oracle's float64 answers to them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nexus.backend.kernels import oracle
from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import StackWeights, random_weights

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """One stack and one batch for it."""

    weights: StackWeights
    x: Floats
    lengths: tuple[int, ...] | None
    h0: Floats | None
    c0: Floats | None

    def expected(self, dtype: torch.dtype = torch.float64) -> oracle.Sequences:
        h0, c0 = (
            None if state is None else torch.from_numpy(state).to(dtype)
            for state in (self.h0, self.c0)
        )
        return oracle.run(self.weights, torch.from_numpy(self.x).to(dtype), self.lengths, h0, c0)


def random_case(
    shape: StackShape, *, steps: int, batch: int, seed: int, ragged: bool, states: bool
) -> Case:
    chance = np.random.default_rng(seed)
    size = (shape.states, batch, shape.hidden_size)

    def normal(*sizes: int) -> Floats:
        return chance.standard_normal(sizes).astype(np.float32)

    lengths = tuple(int(n) for n in chance.integers(0, steps + 1, batch)) if ragged else None
    return Case(
        random_weights(shape, chance),
        normal(steps, batch, shape.input_size),
        lengths,
        normal(*size) * np.float32(0.5) if states else None,
        normal(*size) if states and shape.cell is Cell.LSTM else None,
    )


def relative_error(found: Floats | None, expected: torch.Tensor | None) -> float:
    """The largest difference, as a share of the largest value there should be (at least of 1)."""
    if found is None or expected is None:
        assert found is None
        assert expected is None
        return 0.0
    wanted = expected.double().numpy()
    assert found.shape == wanted.shape
    assert np.isfinite(found).all()
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    return float(np.abs(found - wanted).max(initial=0)) / scale
