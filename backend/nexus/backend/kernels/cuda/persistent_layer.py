"""Layers that stay on one device: packed weights, the exchange's memory, and launches over slots.

Everything between Python and the machine that runs the kernel goes through `Launcher`, so the same
code drives a GPU (`gpu_launcher.py`) and the emulator of the tests; memory is torch's in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nexus.backend.kernels.cuda import packing
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.slot_table import Slot, slot_table
from nexus.backend.kernels.weights import LayerWeights
from nexus.core.errors import InternalError, InvalidArgumentError

PATIENCE_TICKS = 2_000_000_000
"""GPU clock ticks that a block waits for its peers before it gives up: about a second."""
EPOCH_MAX = 1 << 31
"""Exchanges before the words are cleared: epochs never repeat, counters compare by sign."""
WORD_BYTES = 16


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch: the grid, and the kernel's arguments in its order."""

    grid: tuple[int, int, int]
    pointers: tuple[int, ...]
    """x to error of `source/recurrent.cu`."""
    state_rows: int
    steps: int
    epoch: int
    patience_ticks: int


class Launcher(Protocol):
    """A machine that can run a configuration's kernel."""

    @property
    def device(self) -> torch.device:
        """Where the tensors of a launch must lie."""

    def launch(self, configuration: Configuration, launch: Launch) -> None:
        """Run it after everything that was asked of the device before."""


@dataclass(slots=True)
class States:
    """h and c of many sequences: [parts, rows, hidden] each. Slots name rows."""

    h: Tensor
    c: Tensor

    @classmethod
    def zeros(cls, configuration: Configuration, rows: int, device: torch.device) -> "States":
        """Room for ``rows`` sequences."""
        size = (configuration.parts, rows, configuration.hidden_size)
        return cls(torch.zeros(size, device=device), torch.zeros(size, device=device))

    @property
    def rows(self) -> int:
        """How many sequences there is room for."""
        return int(self.h.shape[1])


@dataclass(frozen=True, slots=True)
class Prepared:
    """The tensors of a launch, which must outlive it, and its steps."""

    x: Tensor
    y: Tensor
    table: Tensor
    states: States
    steps: int


class PersistentLayer:
    """One layer, both its directions, or the layers of a wavefront, ready to be launched."""

    def __init__(
        self,
        configuration: Configuration,
        parts: Sequence[LayerWeights],
        launcher: Launcher,
        *,
        patience_ticks: int = PATIENCE_TICKS,
    ) -> None:
        """Pack the weights of every part (direction or layer) and move them to the device."""
        assert len(parts) == configuration.parts, (len(parts), configuration)
        self.configuration = configuration
        self._launcher = launcher
        self._patience_ticks = patience_ticks
        to = launcher.device
        self._recurrent = torch.from_numpy(packing.pack_recurrent(configuration, parts)).to(to)
        self._input = torch.from_numpy(packing.pack_input(configuration, parts)).to(to)
        self._bias = torch.from_numpy(packing.pack_bias(configuration, parts)).to(to)
        self._error = torch.zeros(1, dtype=torch.int32, device=to)
        self._last: Prepared | None = None
        self._tiles = 0
        self._epoch = 0
        self._words = self._counters = self._error
        self._projected = torch.zeros(1, device=to)

    def run(self, x: Tensor, y: Tensor, slots: Sequence[Slot], states: States) -> None:
        """Launch all steps of ``slots``; `check` says afterwards whether they were done.

        Args:
            x: float32 [rows, input], contiguous, on the launcher's device.
            y: float32 [rows, directions * hidden]; the rows that slots name are written.
            slots: The sequences. Steps of each from one row on.
            states: Rows that the slots begin from and leave.
        """
        if any(slot.steps for slot in slots):
            self.start(self.prepare(x, y, slots, states))

    def prepare(self, x: Tensor, y: Tensor, slots: Sequence[Slot], states: States) -> Prepared:
        """All that a launch needs, on the device; see `run` for the arguments."""
        configuration = self.configuration
        _require(x, configuration.input_size, "x")
        _require(y, configuration.directions * configuration.hidden_size, "y")
        table = torch.from_numpy(slot_table(slots, configuration.batch_tile))
        steps = max(slot.steps for slot in slots)
        self._reserve(len(table) // configuration.batch_tile, steps)
        return Prepared(x, y, table.to(self._launcher.device), states, steps)

    def start(self, prepared: Prepared, *, afresh: bool = False) -> None:
        """Launch it.

        Args:
            prepared: Kept by this object until the next launch.
            afresh: Clear the exchange's memory first, so that the launch does not depend on the
                number of those before it: what a CUDA graph must capture.
        """
        tiles = len(prepared.table) // self.configuration.batch_tile
        self._reserve(tiles, prepared.steps)
        if afresh:
            self._words.zero_()
            self._counters.zero_()
            self._epoch = 0
        launch = Launch(
            (self.configuration.blocks, self.configuration.parts, tiles),
            self._pointers(prepared),
            prepared.states.rows,
            prepared.steps,
            self._epoch,
            self._patience_ticks,
        )
        self._launcher.launch(self.configuration, launch)
        self._epoch += prepared.steps * self.configuration.exchanges_per_step
        self._last = prepared

    def check(self) -> None:
        """Wait for the launches so far; raise InternalError if one gave up waiting."""
        if not int(self._error.item()):
            return
        self._clear(self._tiles)
        raise InternalError(
            f"a recurrent kernel with hidden size {self.configuration.hidden_size} gave up: a block"
            " waited for its peers in vain; the outputs since the last check are void",
            reason="kernel_timeout",
        )

    def _reserve(self, tiles: int, steps: int) -> None:
        configuration = self.configuration
        most = EPOCH_MAX - steps * configuration.exchanges_per_step
        if tiles > self._tiles or self._epoch > most:
            self._clear(max(tiles, self._tiles))
        if configuration.fused:
            return
        floats = configuration.parts * tiles * configuration.blocks * configuration.units
        floats *= steps * configuration.batch_tile * configuration.cell.gates
        if floats > self._projected.numel():
            self._projected = torch.empty(floats, device=self._launcher.device)

    def _clear(self, tiles: int) -> None:
        """Memory of the exchange as before the first launch."""
        configuration, device = self.configuration, self._launcher.device
        size = configuration.parts * tiles * max(configuration.ring, 2) * configuration.words
        self._words = torch.zeros(size * WORD_BYTES, dtype=torch.uint8, device=device)
        self._counters = torch.zeros(
            2 * configuration.parts * tiles, dtype=torch.int32, device=device
        )
        self._error.zero_()
        self._tiles, self._epoch = tiles, 0

    def _pointers(self, prepared: Prepared) -> tuple[int, ...]:
        tensors = (
            prepared.x,
            prepared.y,
            prepared.table,
            self._recurrent,
            self._input,
            self._bias,
            prepared.states.h,
            prepared.states.c,
            self._projected,
            self._words,
            self._counters,
            self._error,
        )
        return tuple(tensor.data_ptr() for tensor in tensors)


def _require(rows: Tensor, width: int, name: str) -> None:
    if rows.dtype != torch.float32 or not rows.is_contiguous() or rows.shape[-1] != width:
        raise InvalidArgumentError(
            f"{name} is {rows.dtype}{list(rows.shape)}, must be contiguous float32 [rows, {width}]",
            reason="invalid_shape",
        )
