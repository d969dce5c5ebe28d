"""The same stack ready to run both ways: the persistent kernel's launches, and torch.nn's call."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks.grnn_gpu.points import Point
from nexus.backend.kernels.cuda.choice import Choice
from nexus.backend.kernels.cuda.cuda_runner import LimitedLauncher
from nexus.backend.kernels.cuda.library_runner import DTYPES, LibraryRunner
from nexus.backend.kernels.cuda.persistent_layer import (
    PATIENCE_TICKS,
    PersistentLayer,
    Prepared,
    States,
)
from nexus.backend.kernels.cuda.slot_table import NO_STATE, Slot
from nexus.backend.kernels.weights import StackWeights, random_weights


@dataclass(frozen=True)
class Inputs:
    """Weights of a point, and padded inputs [time, batch, features]."""

    point: Point
    weights: StackWeights
    x: Tensor

    @classmethod
    def random(cls, point: Point, seed: int = 1) -> "Inputs":
        """The same every time."""
        chance = np.random.default_rng(seed)
        weights = random_weights(point.shape, chance)
        size = (point.steps, point.batch, point.hidden)
        return cls(point, weights, torch.from_numpy(chance.standard_normal(size)).float())


class Launches:
    """A stack's launches, one behind the other, on tensors that stay."""

    def __init__(
        self,
        inputs: Inputs,
        stages: Sequence[tuple[int, Choice]],
        launcher: LimitedLauncher,
        patience_ticks: int = PATIENCE_TICKS,
    ) -> None:
        """Pack, compile, and put everything on the device."""
        point, device = inputs.point, launcher.device
        self.configurations = [choice.configuration for _, choice in stages]
        rows = inputs.x.transpose(0, 1).reshape(-1, point.hidden).contiguous().to(device)
        slots = [
            Slot(index * point.steps, index * point.steps, length, NO_STATE, NO_STATE)
            for index, length in enumerate(point.lengths)
        ]
        self._stages: list[tuple[PersistentLayer, Prepared]] = []
        for (first, _), configuration in zip(stages, self.configurations, strict=True):
            parts = inputs.weights.layers[first : first + configuration.parts]
            layer = PersistentLayer(configuration, parts, launcher, patience_ticks=patience_ticks)
            width = configuration.directions * configuration.hidden_size
            y = torch.full((len(rows), width), torch.nan, device=device)
            states = States.zeros(configuration, 1, device)
            self._stages.append((layer, layer.prepare(rows, y, slots, states)))
            rows = y
        self.y = rows.view(point.batch, point.steps, -1)

    def start(self) -> None:
        """Launch all."""
        for layer, prepared in self._stages:
            layer.start(prepared)

    def start_afresh(self) -> None:
        """The same whatever was launched before: for a graph."""
        for layer, prepared in self._stages:
            layer.start(prepared, afresh=True)

    def poison(self) -> None:
        """NaN wherever a launch must write."""
        for _, prepared in self._stages:
            prepared.y.fill_(torch.nan)

    def check(self) -> None:
        """Wait; raise InternalError if a kernel gave up."""
        for layer, _ in self._stages:
            layer.check()


class Library:
    """torch.nn on the same inputs, packed if they are ragged."""

    def __init__(self, inputs: Inputs, device: torch.device) -> None:
        """Weights and inputs in the point's precision, on the device."""
        point = inputs.point
        self._module = LibraryRunner(inputs.weights, device, point.precision).module
        if isinstance(self._module, torch.nn.RNNBase):
            self._module.flatten_parameters()
        x = inputs.x.to(device, DTYPES[point.precision])
        self._x = pack_padded_sequence(x, torch.tensor(point.lengths)) if point.ragged else x

    def start(self) -> None:
        """One call of the module."""
        with torch.inference_mode():
            self._module(self._x)
