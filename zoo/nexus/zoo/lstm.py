"""A small LSTM with seeded weights: batching over a recurrent model, without any files.

Recurrent models gain most from batches (each step is a thin matrix product), on a CPU too.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from nexus.core.model import Model
from nexus.zoo.parameters import integer
from nexus.zoo.weights import load_into, load_state

WIDTH_MAX = 4_096
LAYERS_MAX = 16
SEED_MAX = 2**31 - 1


class Lstm(nn.Module):
    """LSTM layers over a sequence, then a linear layer on the last step."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        """Sizes of a step's input, of the state and of the result; number of layers."""
        super().__init__()
        self.recurrent = nn.LSTM(inputs, hidden, num_layers=layers, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, steps: Tensor) -> Tensor:
        """[batch, time, inputs] to [batch, outputs]."""
        states, _ = self.recurrent(steps)
        return self.read_out(states)

    def read_out(self, states: Tensor) -> Tensor:
        """The recurrent layer's outputs [batch, time, hidden] to [batch, outputs]."""
        result: Tensor = self.head(states[:, -1])
        return result


def build(model: Model, weights: Path | None) -> nn.Module:
    """An Lstm by the parameters ``inputs``, ``hidden``, ``outputs``, ``layers`` and ``seed``."""
    inputs, hidden, outputs = (
        integer(model, key, default, low=1, high=WIDTH_MAX)
        for key, default in (("inputs", 16), ("hidden", 64), ("outputs", 4))
    )
    layers = integer(model, "layers", 1, low=1, high=LAYERS_MAX)
    # Fork: building a model leaves the process's random state as it was.
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(integer(model, "seed", 0, low=0, high=SEED_MAX))
        network = Lstm(inputs, hidden, outputs, layers)
    if weights:
        load_into(network, load_state(weights), weights)
    return network
