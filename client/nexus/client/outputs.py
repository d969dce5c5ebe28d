"""Tensors as what callers want back: numpy arrays where numpy is installed, else plain lists."""

import struct
from typing import TYPE_CHECKING, Any

from nexus.core.errors import FailedPreconditionError
from nexus.core.tensor import DataType, Tensor, iterate_bytes_elements

if TYPE_CHECKING:
    import numpy as np

_NUMPY_NAMES = {
    DataType.BOOL: "?",
    DataType.FP16: "<f2",
    DataType.FP32: "<f4",
    DataType.FP64: "<f8",
    **{DataType(f"INT{8 * size}"): f"<i{size}" for size in (1, 2, 4, 8)},
    **{DataType(f"UINT{8 * size}"): f"<u{size}" for size in (1, 2, 4, 8)},
}
_STRUCT_CODES = {
    DataType.BOOL: "?",
    DataType.FP16: "e",
    DataType.FP32: "f",
    DataType.FP64: "d",
    **{DataType(f"INT{bits}"): code for bits, code in zip((8, 16, 32, 64), "bhiq", strict=True)},
    **{DataType(f"UINT{bits}"): code for bits, code in zip((8, 16, 32, 64), "BHIQ", strict=True)},
}


def array_from(tensor: Tensor) -> "np.ndarray[Any, np.dtype[Any]]":
    """The tensor as a numpy array (BYTES as an array of ``bytes``).

    Raises:
        FailedPreconditionError: the datatype is BF16, which numpy does not know; read ``content``.
        ModuleNotFoundError: numpy is not installed.
    """
    import numpy as np  # noqa: PLC0415 - optional: only callers who want arrays need numpy

    if tensor.datatype is DataType.BYTES:
        elements = np.empty(len(list(iterate_bytes_elements(tensor.name, tensor.content))), object)
        elements[:] = list(iterate_bytes_elements(tensor.name, tensor.content))
        return elements.reshape(tensor.shape)
    if tensor.datatype not in _NUMPY_NAMES:
        raise _unreadable(tensor)
    return np.frombuffer(tensor.content, _NUMPY_NAMES[tensor.datatype]).reshape(tensor.shape)


def list_from(tensor: Tensor) -> list[Any]:
    """The tensor's elements as one flat list of Python values, in row-major order."""
    if tensor.datatype is DataType.BYTES:
        return list(iterate_bytes_elements(tensor.name, tensor.content))
    if tensor.datatype not in _STRUCT_CODES:
        raise _unreadable(tensor)
    count = len(tensor.content) // tensor.datatype.item_bytes
    return list(struct.unpack(f"<{count}{_STRUCT_CODES[tensor.datatype]}", tensor.content))


def _unreadable(tensor: Tensor) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"output {tensor.name!r} is {tensor.datatype.value}, which has no Python type; "
        "read its content"
    )
