"""Weights of recurrent layers as plain arrays, whatever they were trained in.

Everything is float32 in PyTorch's gate order (`Cell.gate_order`); readers for torch.nn, ONNX nodes
and Keras layers turn their layouts into it. Nothing here imports those packages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.layer_shape import LayerShape, StackShape
from nexus.core.errors import InvalidArgumentError

Floats = NDArray[np.float32]

ONNX_ORDER = {Cell.LSTM: "iofg", Cell.GRU: "zrn", Cell.GRU_RESET_BEFORE: "zrn"}
"""Gates in the rows of an ONNX node's W, R and B."""
KERAS_ORDER = {Cell.LSTM: "ifgo", Cell.GRU: "zrn", Cell.GRU_RESET_BEFORE: "zrn"}
"""Gates in the columns of a Keras layer's kernels."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """One layer in one direction.

    ``w_ih`` [G*H, I] and ``w_hh`` [G*H, H] with the biases ``b_ih`` and ``b_hh`` [G*H].
    """

    w_ih: Floats
    w_hh: Floats
    b_ih: Floats
    b_hh: Floats


@dataclass(frozen=True, slots=True, eq=False)
class StackWeights:
    """A whole stack: ``layers`` is layer-major, direction-minor, forward first."""

    shape: StackShape
    layers: tuple[LayerWeights, ...]

    @property
    def nbytes(self) -> int:
        """What they occupy in fp32."""
        arrays = ((one.w_ih, one.w_hh, one.b_ih, one.b_hh) for one in self.layers)
        return sum(array.nbytes for four in arrays for array in four)

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError unless every array has the size its place needs."""
        shape = self.shape
        if len(self.layers) != shape.states:
            raise InvalidArgumentError(
                f"{len(self.layers)} sets of weights for {shape.states} layers and directions",
                reason="invalid_weights",
            )
        for index, weights in enumerate(self.layers):
            _check(weights, shape.layer(index // shape.directions), index)


def from_torch(layer: Any) -> StackWeights:
    """The weights of a torch.nn.LSTM or torch.nn.GRU (or of a subclass), copied.

    Raises:
        InvalidArgumentError: it is another module, or it has projections.
    """
    cells = {"LSTM": Cell.LSTM, "GRU": Cell.GRU}
    if getattr(layer, "mode", None) not in cells or layer.proj_size:
        raise InvalidArgumentError(
            f"a {type(layer).__name__} is not a torch.nn.LSTM or GRU without projections",
            reason="invalid_weights",
        )
    shape = StackShape(
        cells[layer.mode],
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        layer.bidirectional,
    )
    suffixes = [f"l{n}{end}" for n in range(shape.layers) for end in ("", "_reverse")]
    used = suffixes if shape.bidirectional else suffixes[::2]
    return StackWeights(shape, tuple(_of_torch(layer, suffix) for suffix in used))


def from_onnx(
    cell: Cell, w: Floats, r: Floats, b: Floats | None = None
) -> tuple[LayerWeights, ...]:
    """The directions of one ONNX LSTM or GRU node, forward first.

    Args:
        cell: For a GRU node, `Cell.GRU` where ``linear_before_reset`` is 1, and
            `Cell.GRU_RESET_BEFORE` where it is 0, ONNX's default.
        w: [D, G*H, I].
        r: [D, G*H, H].
        b: [D, 2*G*H], the input's biases before the state's; None for none.
    """
    rows = w.shape[1]
    biases = np.zeros((len(w), 2 * rows), np.float32) if b is None else b
    order = ONNX_ORDER[cell]
    return tuple(
        LayerWeights(
            *(
                reordered(cell, array, order, cell.gate_order)
                for array in (w_ih, w_hh, bias[:rows], bias[rows:])
            )
        )
        for w_ih, w_hh, bias in zip(w, r, biases, strict=True)
    )


def from_keras(
    cell: Cell, kernel: Floats, recurrent_kernel: Floats, bias: Floats | None = None
) -> LayerWeights:
    """One Keras LSTM or GRU layer, by the arrays of its ``get_weights()``.

    Args:
        cell: For a GRU, `Cell.GRU` with ``reset_after=True``, Keras 2's and 3's default, and
            `Cell.GRU_RESET_BEFORE` with False.
        kernel: [I, G*H].
        recurrent_kernel: [H, G*H].
        bias: [G*H], or [2, G*H] with ``reset_after``; None for none.
    """
    rows = kernel.shape[1]
    biases = np.zeros((2, rows), np.float32)
    if bias is not None:
        biases[: bias.ndim] = bias
    order = KERAS_ORDER[cell]
    arrays = (kernel.T, recurrent_kernel.T, biases[0], biases[1])
    return LayerWeights(*(reordered(cell, array, order, cell.gate_order) for array in arrays))


def reordered(cell: Cell, rows: NDArray[Any], given: str, wanted: str) -> Floats:
    """The rows of a matrix or bias, gate by gate in another order, as contiguous float32."""
    if len(rows) % cell.gates:
        raise InvalidArgumentError(
            f"{len(rows)} rows of {cell.value} weights are not {cell.gates} gates of equal size",
            reason="invalid_weights",
        )
    blocks = np.split(rows, cell.gates)
    return np.ascontiguousarray(
        np.concatenate([blocks[given.index(gate)] for gate in wanted]), np.float32
    )


def random_weights(
    shape: StackShape, chance: np.random.Generator, scale: float | None = None
) -> StackWeights:
    """Weights as an untrained torch layer has them: uniform up to 1/sqrt(hidden), or ``scale``."""
    bound = shape.hidden_size**-0.5 if scale is None else scale

    def one(layer: LayerShape) -> LayerWeights:
        sizes = ((layer.rows, layer.input_size), (layer.rows, layer.hidden_size))
        return LayerWeights(
            *(
                chance.uniform(-bound, bound, size).astype(np.float32)
                for size in (*sizes, (layer.rows,), (layer.rows,))
            )
        )

    layers = [shape.layer(index // shape.directions) for index in range(shape.states)]
    return StackWeights(shape, tuple(map(one, layers)))


def _of_torch(layer: Any, suffix: str) -> LayerWeights:
    def array(name: str) -> Floats:
        values = getattr(layer, f"{name}_{suffix}").detach().cpu().float().numpy()
        return np.array(values, np.float32, order="C")

    w_ih, w_hh = array("weight_ih"), array("weight_hh")
    if layer.bias:
        return LayerWeights(w_ih, w_hh, array("bias_ih"), array("bias_hh"))
    zeros = np.zeros(len(w_ih), np.float32)
    return LayerWeights(w_ih, w_hh, zeros, zeros)


def _check(weights: LayerWeights, shape: LayerShape, index: int) -> None:
    expected: Sequence[tuple[str, Floats, tuple[int, ...]]] = (
        ("w_ih", weights.w_ih, (shape.rows, shape.input_size)),
        ("w_hh", weights.w_hh, (shape.rows, shape.hidden_size)),
        ("b_ih", weights.b_ih, (shape.rows,)),
        ("b_hh", weights.b_hh, (shape.rows,)),
    )
    for name, array, size in expected:
        if array.shape != size or array.dtype != np.float32:
            raise InvalidArgumentError(
                f"{name} of the {shape.cell.value} layer {index} is {array.dtype}"
                f"{list(array.shape)}, must be float32{list(size)}",
                reason="invalid_weights",
            )
