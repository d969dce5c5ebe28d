"""Tensors as bytes with a name, a datatype and a shape: what the Open Inference Protocol carries.

Layout is row-major, little-endian, without padding. A BYTES element is a 4-byte little-endian
length followed by that many bytes.
"""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from nexus.core.errors import InvalidArgumentError

VARIABLE = -1


class DataType(Enum):
    """Datatypes of the protocol, by their protocol names."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def item_bytes(self) -> int:
        """Bytes of one element; 0 for BYTES, whose elements differ in length."""
        return _ITEM_BYTES[self]


_ITEM_BYTES = {
    DataType.BOOL: 1,
    DataType.UINT8: 1,
    DataType.UINT16: 2,
    DataType.UINT32: 4,
    DataType.UINT64: 8,
    DataType.INT8: 1,
    DataType.INT16: 2,
    DataType.INT32: 4,
    DataType.INT64: 8,
    DataType.FP16: 2,
    DataType.BF16: 2,
    DataType.FP32: 4,
    DataType.FP64: 8,
    DataType.BYTES: 0,
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A declared input or output. ``shape`` includes the batch dimension; -1 is variable."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on an empty name or a dimension below -1."""
        if not self.name:
            raise InvalidArgumentError("a tensor spec has no name", reason="invalid_tensor")
        if any(size < VARIABLE for size in self.shape):
            raise InvalidArgumentError(
                f"tensor {self.name!r}: shape {list(self.shape)} has a size below -1",
                reason="invalid_tensor",
            )

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a concrete shape fits this spec."""
        return len(shape) == len(self.shape) and all(
            want in (VARIABLE, got) for want, got in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Tensor:
    """A concrete tensor. ``content`` is the raw layout of the protocol."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    content: bytes

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError when the byte count is not what dtype and shape ask for."""
        if any(size < 0 for size in self.shape):
            raise InvalidArgumentError(
                f"tensor {self.name!r}: shape {list(self.shape)} has a negative size",
                reason="invalid_shape",
            )
        elements = math.prod(self.shape)
        if self.datatype is DataType.BYTES:
            found = count_bytes_elements(self.name, self.content)
            if found != elements:
                raise InvalidArgumentError(
                    f"tensor {self.name!r}: shape {list(self.shape)} has {elements} elements, "
                    f"the content holds {found}",
                    reason="invalid_byte_count",
                )
        elif len(self.content) != elements * self.datatype.item_bytes:
            raise InvalidArgumentError(
                f"tensor {self.name!r}: {self.datatype.value} {list(self.shape)} needs "
                f"{elements * self.datatype.item_bytes} bytes, got {len(self.content)}",
                reason="invalid_byte_count",
            )


def iterate_bytes_elements(name: str, content: bytes) -> Iterable[bytes]:
    """Yield the elements of a raw BYTES tensor; raise InvalidArgumentError when cut short."""
    for start, end in _bytes_element_bounds(name, content):
        yield content[start:end]


def count_bytes_elements(name: str, content: bytes) -> int:
    """How many elements a raw BYTES tensor holds, without copying any (one may be a frame)."""
    return sum(1 for _ in _bytes_element_bounds(name, content))


def _bytes_element_bounds(name: str, content: bytes) -> Iterable[tuple[int, int]]:
    offset = 0
    while offset < len(content):
        end = offset + 4
        if end <= len(content):
            (length,) = struct.unpack_from("<I", content, offset)
            end += length
        if end > len(content):
            raise InvalidArgumentError(
                f"tensor {name!r}: BYTES element at byte {offset} runs past the end of the content",
                reason="invalid_byte_count",
            )
        yield offset + 4, end
        offset = end


def pack_bytes_elements(elements: Iterable[bytes]) -> bytes:
    """The raw content of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)
