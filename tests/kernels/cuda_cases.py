"""One emulated layer against the float64 oracle, with NaN wherever a kernel must not look."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nexus.backend.kernels import oracle
from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.persistent_layer import Launcher, PersistentLayer, States
from nexus.backend.kernels.cuda.slot_table import NO_STATE, Slot
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import StackWeights, random_weights
from tests.kernels.cuda_emulator import PATIENCE_ROUNDS

TOLERANCE = {Precision.FP32: 1e-5, Precision.FP16: 5e-3, Precision.BF16: 2e-2}
GUARD = 3
"""Rows of NaN before and behind everything that slots address."""


@dataclass(frozen=True, slots=True)
class Case:
    """Weights, packed inputs and states of some sequences, and what must come out."""

    configuration: Configuration
    weights: StackWeights
    lengths: tuple[int, ...]
    x: Tensor
    states: Tensor
    """h and c before the first step: [2, parts, batch, hidden]."""
    expected: oracle.Sequences

    @property
    def starts(self) -> list[int]:
        """The first row of each sequence in packed x and y."""
        return [GUARD + sum(self.lengths[:index]) for index in range(len(self.lengths))]

    @property
    def slots(self) -> list[Slot]:
        """Whole sequences, from the even rows of the states to the odd ones."""
        return [
            Slot(start, start, length, 2 * index, 2 * index + 1)
            for index, (start, length) in enumerate(zip(self.starts, self.lengths, strict=True))
        ]


def make_case(configuration: Configuration, lengths: Sequence[int], seed: int = 7) -> Case:
    """Random weights, inputs and initial states; what follows from them in float64."""
    shape = StackShape(
        configuration.cell,
        configuration.input_size,
        configuration.hidden_size,
        configuration.layers,
        configuration.directions == 2,
    )
    chance = np.random.default_rng(seed)
    weights = random_weights(shape, chance)
    batch = len(lengths)
    padded = chance.standard_normal((max(lengths), batch, shape.input_size))
    x = torch.from_numpy(padded.astype(np.float32))
    size = (2, configuration.parts, batch, shape.hidden_size)
    states = torch.from_numpy(chance.uniform(-0.8, 0.8, size).astype(np.float32))
    h, c = states.double()
    expected = oracle.run(weights, x.double(), list(lengths), h, c)
    rows = [x[:length, index] for index, length in enumerate(lengths)]
    guard = torch.full((GUARD, shape.input_size), torch.nan)
    packed = torch.cat([guard, *rows, guard])
    return Case(configuration, weights, tuple(lengths), packed, states, expected)


def prepare(
    case: Case, launcher: Launcher, patience: int = PATIENCE_ROUNDS
) -> tuple[PersistentLayer, Tensor, States]:
    """The layer, NaN outputs, and states: those given in the even rows, NaN in the odd ones."""
    configuration, batch = case.configuration, len(case.lengths)
    layer = PersistentLayer(configuration, case.weights.layers, launcher, patience_ticks=patience)
    width = configuration.directions * configuration.hidden_size
    y = torch.full((len(case.x), width), torch.nan)
    states = States.zeros(configuration, 2 * batch, launcher.device)
    states.h.fill_(torch.nan)
    states.c.fill_(torch.nan)
    states.h[:, ::2], states.c[:, ::2] = case.states
    return layer, y, states


def run_whole(case: Case, launcher: Launcher) -> None:
    """All sequences in one launch, compared with the oracle."""
    layer, y, states = prepare(case, launcher)
    layer.run(case.x, y, case.slots, states)
    layer.check()
    compare(case, y, states.h[:, 1::2], states.c[:, 1::2])


def run_in_chunks(case: Case, launcher: Launcher, steps: int) -> None:
    """At most ``steps`` steps a launch, sequences moving between slots; compared at the end."""
    layer, y, states = prepare(case, launcher)
    done = [0] * len(case.lengths)
    rows = [2 * index for index in range(len(case.lengths))]
    turn = 0
    while True:
        going = [i for i, length in enumerate(case.lengths) if done[i] < length]
        if not going:
            break
        turn += 1
        slots = []
        for index in going[turn % len(going) :] + going[: turn % len(going)]:
            first, now = (
                case.starts[index] + done[index],
                min(steps, case.lengths[index] - done[index]),
            )
            slots.append(Slot(first, first, now, rows[index], rows[index] ^ 1))
            done[index] += now
            rows[index] ^= 1
        layer.run(case.x, y, slots, states)
    layer.check()
    compare(case, y, states.h[:, rows], states.c[:, rows])


def run_from_zeros(case: Case, launcher: Launcher) -> None:
    """No state before and none kept: every state row stays NaN."""
    layer, y, states = prepare(case, launcher)
    states.h.fill_(torch.nan)
    slots = [
        Slot(start, start, length, NO_STATE, NO_STATE)
        for start, length in zip(case.starts, case.lengths, strict=True)
    ]
    layer.run(case.x, y, slots, states)
    layer.check()
    padded = torch.zeros(max(case.lengths), len(case.lengths), case.configuration.input_size)
    for index, (start, length) in enumerate(zip(case.starts, case.lengths, strict=True)):
        padded[:length, index] = case.x[start : start + length]
    expected = oracle.run(case.weights, padded.double(), list(case.lengths))
    compare_outputs(case, y, expected.y)
    assert bool(states.h.isnan().all())


def compare(case: Case, y: Tensor, h: Tensor, c: Tensor) -> None:
    """Outputs and final states equal the oracle's; rows that no slot names are untouched."""
    compare_outputs(case, y, case.expected.y)
    close(case, h, case.expected.h_n)
    if case.expected.c_n is not None:
        close(case, c, case.expected.c_n)


def compare_outputs(case: Case, y: Tensor, expected: Tensor) -> None:
    """Row by row of the packed outputs."""
    for index, (start, length) in enumerate(zip(case.starts, case.lengths, strict=True)):
        close(case, y[start : start + length], expected[:length, index])
    assert bool(y[:GUARD].isnan().all())
    assert bool(y[-GUARD:].isnan().all())


def close(case: Case, found: Tensor, expected: Tensor) -> None:
    """Within the precision's tolerance of the oracle."""
    tolerance = TOLERANCE[case.configuration.precision]
    torch.testing.assert_close(found.double(), expected, rtol=0.0, atol=tolerance)
