"""The numbers of ``InferTensorContents`` to the raw layout of a tensor, and back.

Clients may send elements as numbers in the message instead of raw bytes. Inside the system every
tensor is raw, so they are packed once, at the edge.
"""

import sys
from array import array
from dataclasses import dataclass
from typing import Any

from nexus.core.errors import InvalidArgumentError
from nexus.core.tensor import DataType, iterate_bytes_elements, pack_bytes_elements
from nexus.inference import open_inference_pb2


@dataclass(frozen=True, slots=True)
class _Layout:
    """The message field that carries a datatype, and the ``array`` code of its raw elements."""

    field: str
    code: str


_LAYOUTS = {
    DataType.BOOL: _Layout("bool_contents", "B"),
    DataType.UINT8: _Layout("uint_contents", "B"),
    DataType.UINT16: _Layout("uint_contents", "H"),
    DataType.UINT32: _Layout("uint_contents", "I"),
    DataType.UINT64: _Layout("uint64_contents", "Q"),
    DataType.INT8: _Layout("int_contents", "b"),
    DataType.INT16: _Layout("int_contents", "h"),
    DataType.INT32: _Layout("int_contents", "i"),
    DataType.INT64: _Layout("int64_contents", "q"),
    DataType.FP32: _Layout("fp32_contents", "f"),
    DataType.FP64: _Layout("fp64_contents", "d"),
    DataType.BYTES: _Layout("bytes_contents", ""),
}


def raw_from_contents(
    name: str, datatype: DataType, contents: open_inference_pb2.InferTensorContents
) -> bytes:
    """Pack typed contents.

    Raises:
        InvalidArgumentError: the datatype has no typed form, the elements are in another datatype's
            field, or one does not fit the datatype.
    """
    layout = _layout(name, datatype)
    for field, _ in contents.ListFields():
        if field.name != layout.field:
            raise InvalidArgumentError(
                f"tensor {name!r}: {datatype.value} elements belong in {layout.field}, "
                f"got {field.name}",
                reason="invalid_contents",
            )
    elements = getattr(contents, layout.field)
    if datatype is DataType.BYTES:
        return pack_bytes_elements(elements)
    try:
        return _little_endian(array(layout.code, elements)).tobytes()
    except OverflowError as error:
        raise InvalidArgumentError(
            f"tensor {name!r}: an element is out of the range of {datatype.value}: {error}",
            reason="invalid_contents",
        ) from error


def contents_from_raw(
    name: str, datatype: DataType, content: bytes
) -> open_inference_pb2.InferTensorContents:
    """The typed form of raw content; raise InvalidArgumentError for FP16 and BF16."""
    layout = _layout(name, datatype)
    if datatype is DataType.BYTES:
        elements: Any = list(iterate_bytes_elements(name, content))
    else:
        elements = array(layout.code)
        elements.frombytes(content)
        elements = _little_endian(elements)
    if datatype is DataType.BOOL:
        elements = [element != 0 for element in elements]
    return open_inference_pb2.InferTensorContents(**{layout.field: elements})


def _layout(name: str, datatype: DataType) -> _Layout:
    layout = _LAYOUTS.get(datatype)
    if layout is None:
        raise InvalidArgumentError(
            f"tensor {name!r}: {datatype.value} has no typed contents; send it raw",
            reason="invalid_contents",
        )
    return layout


def _little_endian(elements: "array[Any]") -> "array[Any]":
    if sys.byteorder == "big":
        elements.byteswap()
    return elements
