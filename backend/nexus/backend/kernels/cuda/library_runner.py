"""A stack served by torch.nn, so by cuDNN on a GPU: who takes over where it is faster.

With many sequences the work is a matrix product like any other and cuDNN wins; and some weights fit
no GPU's registers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.runner import (
    Lengths,
    Outputs,
    check_input,
    check_state,
    check_step,
    checked_lengths,
)
from nexus.backend.kernels.weights import Floats, StackWeights
from nexus.core.errors import InvalidArgumentError

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}
MODULES = {Cell.LSTM: torch.nn.LSTM, Cell.GRU: torch.nn.GRU}


class LibraryRunner:
    """torch.nn.LSTM or GRU on one device, behind the interface of all runners."""

    def __init__(
        self, weights: StackWeights, device: torch.device, precision: Precision = Precision.FP32
    ) -> None:
        """Copy the weights into a module.

        Raises:
            InvalidArgumentError: torch.nn has no such cell or precision.
        """
        shape = weights.shape
        if shape.cell not in MODULES or precision not in DTYPES:
            raise InvalidArgumentError(
                f"torch.nn has no {shape.cell.value} with {precision.value} weights",
                reason="invalid_precision",
            )
        self.shape = shape
        self.name = f"torch.nn {precision.value} on {device}"
        self.weight_bytes = precision.weight_bytes * sum(
            array.size
            for part in weights.layers
            for array in (part.w_ih, part.w_hh, part.b_ih, part.b_hh)
        )
        self._dtype, self._device = DTYPES[precision], device
        self.module = _module(weights).to(device, self._dtype).eval()

    @torch.inference_mode()
    def run(
        self,
        x: Floats,
        lengths: Sequence[int] | Lengths | None = None,
        h0: Floats | None = None,
        c0: Floats | None = None,
    ) -> Outputs:
        """See `RecurrentRunner.run`. Empty sequences are left out, as torch takes none."""
        check_input(self.shape, x)
        steps, batch = x.shape[:2]
        size = (self.shape.states, batch, self.shape.hidden_size)
        check_state("h0", h0, size)
        check_state("c0", c0, size)
        checked = checked_lengths(lengths, x)
        h, c = self._state(h0, size), self._state(c0, size)
        y = torch.zeros(steps, batch, self.shape.output_size, device=self._device)
        given = torch.full((batch,), steps) if checked is None else torch.from_numpy(checked)
        full = torch.nonzero(given).squeeze(1)
        if len(full):
            inputs = torch.from_numpy(x).to(self._device, self._dtype)[:, full]
            outputs, h_n, c_n = self._forward(inputs, given[full], h[:, full], c[:, full])
            y[: len(outputs), full] = outputs.float()
            h[:, full], c[:, full] = h_n, c_n
        return Outputs(_numpy(y), _numpy(h), _numpy(c) if self._has_cell else None)

    def step(self, x: Floats, h: Floats, c: Floats | None = None) -> Floats:
        """See `RecurrentRunner.step`."""
        check_step(self.shape, x, h, c)
        outputs = self.run(x[None], None, h, c)
        h[...] = outputs.h_n
        if c is not None and outputs.c_n is not None:
            c[...] = outputs.c_n
        y: Floats = outputs.y[0]
        return y

    @property
    def _has_cell(self) -> bool:
        return self.shape.cell.has_cell_state

    def _state(self, given: Floats | None, size: tuple[int, int, int]) -> Tensor:
        if given is None:
            return torch.zeros(size, device=self._device, dtype=self._dtype)
        return torch.from_numpy(given).to(self._device, self._dtype, copy=True)

    def _forward(
        self, x: Tensor, lengths: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        state = (h.contiguous(), c.contiguous()) if self._has_cell else h.contiguous()
        if bool((lengths == len(x)).all()):
            y, after = self.module(x, state)
        else:
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
            ragged, after = self.module(packed, state)
            y, _ = pad_packed_sequence(ragged)
        h_n, c_n = after if self._has_cell else (after, c)
        return y, h_n, c_n


def _module(weights: StackWeights) -> torch.nn.RNNBase:
    shape = weights.shape
    module: torch.nn.RNNBase = MODULES[shape.cell](
        shape.input_size, shape.hidden_size, shape.layers, bidirectional=shape.bidirectional
    )
    with torch.no_grad():
        for parameters, part in zip(module.all_weights, weights.layers, strict=True):
            arrays = (part.w_ih, part.w_hh, part.b_ih, part.b_hh)
            for parameter, array in zip(parameters, arrays, strict=True):
                parameter.copy_(torch.from_numpy(array))
    return module


def _numpy(values: Tensor) -> Floats:
    array: Floats = values.float().cpu().numpy()
    return array
