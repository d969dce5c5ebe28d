"""ONNX files of recurrent stacks, written without the onnx package.

The format is plain protobuf, and a stack needs six operators of it; field numbers are those of
onnx.proto (ONNX 1.2 and later).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.weights import ONNX_ORDER, Floats, LayerWeights, StackWeights, reordered

IR_VERSION = 8
OPSET = 14
"""The first in which GRU and LSTM are as they still are."""
FLOAT, INT32, INT64 = 1, 6, 7
"""Of TensorProto.DataType."""
ELEMENT_TYPES = {"float32": FLOAT, "int32": INT32, "int64": INT64}
ATTRIBUTE_INT, ATTRIBUTE_STRING, ATTRIBUTE_INTS = 2, 3, 7
"""Of AttributeProto.AttributeType."""

Attribute = int | str | tuple[int, ...]
SIDE_BY_SIDE = (0, 2, 1, 3)
"""[time, direction, batch, hidden] with the directions beside each other."""


def stack_graph(weights: StackWeights, *, ragged: bool = True, states: bool = True) -> bytes:
    """A model of the stack: ``x`` [time, batch, input] to ``y`` [time, batch, D*H].

    Args:
        weights: Of every layer and direction; they are written into the file.
        ragged: Whether it takes ``lengths`` int32 [batch].
        states: Whether it takes ``h0`` (and ``c0``) and gives ``h_n`` (and ``c_n``),
            all [L*D, batch, hidden].
    """
    shape = weights.shape
    kinds = ("h", "c")[: 1 + shape.cell.has_cell_state] if states else ()
    nodes, initializers = _layers(weights, ragged=ragged, kinds=kinds)
    state = (shape.states, 0, shape.hidden_size)
    inputs = [_value("x", FLOAT, (0, 0, shape.input_size))]
    inputs += [_value("lengths", INT32, (0,))] if ragged else []
    inputs += [_value(f"{kind}0", FLOAT, state) for kind in kinds]
    outputs = [_value("y", FLOAT, (0, 0, shape.output_size))]
    outputs += [_value(f"{kind}_n", FLOAT, state) for kind in kinds]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"stack")
    graph += b"".join(_field(5, tensor) for tensor in initializers)
    graph += b"".join(_field(11, value) for value in inputs)
    graph += b"".join(_field(12, value) for value in outputs)
    return _field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(2, OPSET))


def _layers(
    weights: StackWeights, *, ragged: bool, kinds: Sequence[str]
) -> tuple[list[bytes], list[bytes]]:
    """The nodes and the constants, with each state split over the layers and joined again."""
    shape = weights.shape
    numbers = range(shape.layers)
    sizes = [0, 0, shape.output_size] if shape.bidirectional else [1]
    constants = [_tensor("sizes", np.array(sizes))]
    nodes = [_node("Split", [f"{kind}0"], [f"{kind}0_{n}" for n in numbers]) for kind in kinds]
    source = "x"
    for n in numbers:
        directions = weights.layers[n * shape.directions : (n + 1) * shape.directions]
        constants += _constants(shape.cell, directions, n)
        inputs = [source, f"w{n}", f"r{n}", f"b{n}", "lengths" if ragged else ""]
        inputs += [f"{kind}0_{n}" for kind in kinds]
        nodes.append(
            _node(
                "LSTM" if shape.cell is Cell.LSTM else "GRU",
                inputs,
                [f"steps{n}", *(f"{kind}_n_{n}" for kind in kinds)],
                _attributes(shape.cell, shape.hidden_size, bidirectional=shape.bidirectional),
            )
        )
        source = "y" if n == shape.layers - 1 else f"y{n}"
        nodes += _joined(f"steps{n}", source, bidirectional=shape.bidirectional)
    for kind in kinds:
        parts = [f"{kind}_n_{n}" for n in numbers]
        nodes.append(_node("Concat", parts, [f"{kind}_n"], {"axis": 0}))
    return nodes, constants


def _attributes(cell: Cell, hidden_size: int, *, bidirectional: bool) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {"hidden_size": hidden_size}
    if cell is not Cell.LSTM:
        found["linear_before_reset"] = int(cell is Cell.GRU)
    if bidirectional:
        found["direction"] = "bidirectional"
    return found


def _constants(cell: Cell, directions: Sequence[LayerWeights], number: int) -> list[bytes]:
    def stacked(arrays: Sequence[Floats]) -> Floats:
        order = ONNX_ORDER[cell]
        return np.stack([reordered(cell, array, cell.gate_order, order) for array in arrays])

    biases = [stacked([one.b_ih for one in directions]), stacked([one.b_hh for one in directions])]
    return [
        _tensor(f"w{number}", stacked([one.w_ih for one in directions])),
        _tensor(f"r{number}", stacked([one.w_hh for one in directions])),
        _tensor(f"b{number}", np.concatenate(biases, axis=1)),
    ]


def _joined(steps: str, y: str, *, bidirectional: bool) -> list[bytes]:
    """From [time, directions, batch, hidden] to [time, batch, directions * hidden]."""
    if not bidirectional:
        return [_node("Squeeze", [steps, "sizes"], [y])]
    turned = f"{steps}_turned"
    return [
        _node("Transpose", [steps], [turned], {"perm": SIDE_BY_SIDE}),
        _node("Reshape", [turned, "sizes"], [y]),
    ]


def _node(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    attributes: dict[str, Attribute] | None = None,
) -> bytes:
    node = b"".join(_field(1, name.encode()) for name in inputs)
    node += b"".join(_field(2, name.encode()) for name in outputs)
    node += _field(4, operator.encode())
    return node + b"".join(_field(5, _attribute(*pair)) for pair in (attributes or {}).items())


def _attribute(name: str, value: Attribute) -> bytes:
    named = _field(1, name.encode())
    if isinstance(value, int):
        return named + _field(3, value) + _field(20, ATTRIBUTE_INT)
    if isinstance(value, str):
        return named + _field(4, value.encode()) + _field(20, ATTRIBUTE_STRING)
    return named + b"".join(_field(8, n) for n in value) + _field(20, ATTRIBUTE_INTS)


def _tensor(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    dims = b"".join(_field(1, n) for n in array.shape)
    kind = _field(2, ELEMENT_TYPES[array.dtype.name])
    return dims + kind + _field(8, name.encode()) + _field(9, array.tobytes())


def _value(name: str, element_type: int, shape: Sequence[int]) -> bytes:
    """A named tensor; 0 is a size that may vary."""
    sizes = b"".join(
        _field(1, _field(1, n) if n else _field(2, f"{name}_{axis}".encode()))
        for axis, n in enumerate(shape)
    )
    tensor = _field(1, element_type) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
