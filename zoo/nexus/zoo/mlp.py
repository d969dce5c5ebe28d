"""A small multilayer perceptron with seeded weights: for examples and tests without any files."""

from pathlib import Path

import torch
from torch import Tensor, nn

from nexus.core.model import Model
from nexus.zoo.parameters import integer
from nexus.zoo.weights import load_into, load_state

WIDTH_MAX = 16_384
SEED_MAX = 2**31 - 1


class Mlp(nn.Module):
    """Linear, ReLU, linear: [batch, inputs] to [batch, outputs]."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        """Sizes of the three layers of neurons."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, values: Tensor) -> Tensor:
        """[batch, inputs] to [batch, outputs]."""
        result: Tensor = self.layers(values)
        return result


def build(model: Model, weights: Path | None) -> nn.Module:
    """An Mlp by the parameters ``inputs``, ``hidden``, ``outputs``; ``seed`` draws its weights."""
    sizes = (
        integer(model, key, default, low=1, high=WIDTH_MAX)
        for key, default in (("inputs", 16), ("hidden", 32), ("outputs", 4))
    )
    # A generator of our own would not reach nn.Linear's initialisation; fork so that building a
    # model leaves the process's random state as it was.
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(integer(model, "seed", 0, low=0, high=SEED_MAX))
        network = Mlp(*sizes)
    if weights:
        load_into(network, load_state(weights), weights)
    return network
