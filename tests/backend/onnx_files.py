"""Small ONNX files, written without the onnx package: the format is plain protobuf.

Field numbers are those of onnx.proto (ONNX 1.2 and later).
"""

from collections.abc import Sequence
from pathlib import Path

IR_VERSION = 8
OPSET = 13
FLOAT = 1
BATCH = 0
"""As a size: variable."""

ValueInfo = tuple[str, tuple[int, ...]]
"""A name and a shape."""


def write_onnx(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], Sequence[str]]],
    inputs: Sequence[ValueInfo],
    outputs: Sequence[ValueInfo],
) -> Path:
    """A graph of (operator, inputs, outputs) over float tensors."""
    graph = b"".join(_field(1, _node(*node)) for node in nodes)
    graph += _field(2, b"graph")
    graph += b"".join(_field(11, _value(*value)) for value in inputs)
    graph += b"".join(_field(12, _value(*value)) for value in outputs)
    opset = _field(2, OPSET)
    path.write_bytes(_field(1, IR_VERSION) + _field(7, graph) + _field(8, opset))
    return path


def write_colour_network(path: Path) -> Path:
    """Images [batch, 3, height, width] to their mean colour [batch, 3]."""
    nodes = (
        ("GlobalAveragePool", ("pixels",), ("pooled",)),
        ("Flatten", ("pooled",), ("colour",)),
    )
    return write_onnx(
        path, nodes, (("pixels", (BATCH, 3, BATCH, BATCH)),), (("colour", (BATCH, 3)),)
    )


def _node(operator: str, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs)
    names += b"".join(_field(2, name.encode()) for name in outputs)
    return names + _field(4, operator.encode())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(_field(1, _field(2, b"n") if n == BATCH else _field(1, n)) for n in shape)
    tensor = _field(1, FLOAT) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
