"""Recurrent stacks through the persistent CUDA kernel, handed over to cuDNN where that is faster.

For each power of two of sequences the runner chooses configurations once (`choice.py`): both
directions of a layer in one launch, layers one after the other or as a wavefront in one launch,
whichever the estimate says. What fits no configuration, and large batches, go to `LibraryRunner`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.choice import Choice, Demand, choose
from nexus.backend.kernels.cuda.device_limits import DeviceLimits
from nexus.backend.kernels.cuda.library_runner import LibraryRunner
from nexus.backend.kernels.cuda.persistent_layer import (
    PATIENCE_TICKS,
    Launcher,
    PersistentLayer,
    States,
)
from nexus.backend.kernels.cuda.slot_table import NO_STATE, Slot
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.runner import (
    Lengths,
    Outputs,
    check_input,
    check_state,
    check_step,
    checked_lengths,
)
from nexus.backend.kernels.weights import Floats, StackWeights
from nexus.core.errors import InfeasibleError

HAND_OVER_BATCH = {Precision.FP32: 16, Precision.BF16: 64, Precision.FP16: 64}
"""Sequences from which cuDNN serves: an estimate until `benchmarks/grnn_gpu.py` has measured."""
TYPICAL_STEPS = 50
"""For which a wavefront is weighed against layers one after the other."""


class LimitedLauncher(Launcher, Protocol):
    """A launcher that knows what its machine has."""

    @property
    def limits(self) -> DeviceLimits:
        """What a kernel may take."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One launch: both directions of a layer, or all layers of a wavefront."""

    choice: Choice
    first: int
    """Of the stack's states (layer-major, direction-minor) that this launch advances."""
    layer: PersistentLayer


class CudaRunner:
    """A stack whose weights are on one GPU, packed for the batch sizes that have been asked for."""

    def __init__(
        self,
        weights: StackWeights,
        launcher: LimitedLauncher,
        precision: Precision = Precision.FP32,
        *,
        patience_ticks: int = PATIENCE_TICKS,
    ) -> None:
        """Nothing is packed or compiled before `prepare` or the first call.

        Raises:
            InvalidArgumentError: GPUs have no such precision.
        """
        self.shape = weights.shape
        self.name = f"cuda {precision.value} on {launcher.limits.name}"
        self._weights, self._launcher, self._precision = weights, launcher, precision
        self._patience_ticks = patience_ticks
        self._stages: dict[int, tuple[Stage, ...]] = {}
        self._library: LibraryRunner | None = None

    @property
    def weight_bytes(self) -> int:
        """Of one packing, without its padding."""
        layers = (self.shape.layer(i // self.shape.directions) for i in range(self.shape.states))
        return self._precision.weight_bytes * sum(layer.weights for layer in layers)

    def prepare(self, batch: int) -> tuple[Choice, ...]:
        """Choose and pack for so many sequences; empty where cuDNN serves them."""
        return tuple(stage.choice for stage in self._stages_for(batch))

    def run(
        self,
        x: Floats,
        lengths: Sequence[int] | Lengths | None = None,
        h0: Floats | None = None,
        c0: Floats | None = None,
    ) -> Outputs:
        """See `RecurrentRunner.run`.

        Raises:
            InternalError: a kernel gave up waiting; the outputs are void.
        """
        check_input(self.shape, x)
        steps, batch = x.shape[:2]
        size = (self.shape.states, batch, self.shape.hidden_size)
        check_state("h0", h0, size)
        check_state("c0", c0, size)
        checked = checked_lengths(lengths, x)
        stages = self._stages_for(batch)
        if not stages:
            return self._cudnn().run(x, checked, h0, c0)
        given = np.full(batch, steps, np.int32) if checked is None else checked
        device = self._launcher.device
        rows = torch.from_numpy(np.ascontiguousarray(x.swapaxes(0, 1))).to(device)
        y, states = self._run_stages(stages, rows.flatten(0, 1), given, steps, (h0, c0))
        h_n, c_n = (_numpy(state[:, batch:]) for state in (states.h, states.c))
        outputs = _numpy(y.view(batch, steps, -1).transpose(0, 1))
        return Outputs(outputs, h_n, c_n if self.shape.cell.has_cell_state else None)

    def step(self, x: Floats, h: Floats, c: Floats | None = None) -> Floats:
        """See `RecurrentRunner.step`."""
        check_step(self.shape, x, h, c)
        outputs = self.run(x[None], None, h, c)
        h[...] = outputs.h_n
        if c is not None and outputs.c_n is not None:
            c[...] = outputs.c_n
        y: Floats = outputs.y[0]
        return y

    def _run_stages(
        self,
        stages: tuple[Stage, ...],
        rows: Tensor,
        lengths: Lengths,
        steps: int,
        initial: tuple[Floats | None, Floats | None],
    ) -> tuple[Tensor, States]:
        """Rows are [batch * steps]; states [parts, 2 * batch]: before in front, after behind."""
        batch, device = len(lengths), self._launcher.device
        states = self._states(initial, batch)
        slots = [
            Slot(
                index * steps,
                index * steps,
                int(length),
                NO_STATE if initial[0] is None and initial[1] is None else index,
                batch + index,
            )
            for index, length in enumerate(lengths)
        ]
        for stage in stages:
            configuration = stage.choice.configuration
            width = configuration.directions * configuration.hidden_size
            y = torch.zeros(len(rows), width, device=device)
            part = slice(stage.first, stage.first + configuration.parts)
            stage.layer.run(rows, y, slots, States(states.h[part], states.c[part]))
            rows = y
        for stage in stages:
            stage.layer.check()
        return rows, states

    def _states(self, initial: tuple[Floats | None, Floats | None], batch: int) -> States:
        """The given states twice: what an empty sequence leaves behind is what it began with."""
        size = (self.shape.states, 2 * batch, self.shape.hidden_size)
        h, c = (torch.zeros(size, device=self._launcher.device) for _ in range(2))
        for state, given in zip((h, c), initial, strict=True):
            if given is not None:
                state[:, :batch] = state[:, batch:] = torch.from_numpy(given).to(state.device)
        return States(h, c)

    def _cudnn(self) -> LibraryRunner:
        if self._library is None:
            self._library = LibraryRunner(self._weights, self._launcher.device, self._precision)
        return self._library

    def _stages_for(self, batch: int) -> tuple[Stage, ...]:
        """For the power of two at or above ``batch``; none where cuDNN serves."""
        bucket = 1 << (batch - 1).bit_length()
        if bucket not in self._stages:
            self._stages[bucket] = tuple(
                Stage(choice, first, self._layer(choice, first))
                for first, choice in plan_stages(
                    self.shape, self._precision, bucket, self._launcher.limits
                )
            )
        return self._stages[bucket]

    def _layer(self, choice: Choice, first: int) -> PersistentLayer:
        parts = self._weights.layers[first : first + choice.configuration.parts]
        return PersistentLayer(
            choice.configuration, parts, self._launcher, patience_ticks=self._patience_ticks
        )


def plan_stages(
    shape: StackShape, precision: Precision, batch: int, limits: DeviceLimits
) -> list[tuple[int, Choice]]:
    """The launches of a stack, each with its first state; none where cuDNN should serve.

    Raises:
        InfeasibleError: nothing can serve it: no configuration fits, and torch.nn has no such cell.
    """
    library = shape.cell is not Cell.GRU_RESET_BEFORE
    if library and batch >= HAND_OVER_BATCH.get(precision, 1):
        return []
    try:
        apart = [
            (index * shape.directions, choose(_demand(shape, index, precision, batch), limits))
            for index in range(shape.layers)
        ]
    except InfeasibleError:
        if not library:
            raise
        return []
    together = _wavefront(shape, precision, batch, limits)
    if together is None:
        return apart
    cycles = TYPICAL_STEPS * sum(choice.step_cycles for _, choice in apart)
    wavefront = (TYPICAL_STEPS + shape.layers - 1) * together.step_cycles
    return [(0, together)] if wavefront < cycles else apart


def _demand(shape: StackShape, layer: int, precision: Precision, batch: int) -> Demand:
    sizes = shape.layer(layer)
    return Demand(
        shape.cell, precision, sizes.input_size, sizes.hidden_size, batch, shape.directions
    )


def _wavefront(
    shape: StackShape, precision: Precision, batch: int, limits: DeviceLimits
) -> Choice | None:
    if shape.layers == 1 or shape.bidirectional or shape.cell is Cell.GRU_RESET_BEFORE:
        return None
    demand = Demand(
        shape.cell, precision, shape.input_size, shape.hidden_size, batch, layers=shape.layers
    )
    try:
        return choose(demand, limits)
    except InfeasibleError:
        return None


def _numpy(values: Tensor) -> Floats:
    array: Floats = values.contiguous().cpu().numpy()
    return array
