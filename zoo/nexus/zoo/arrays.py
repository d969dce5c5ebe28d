"""Protocol tensors to numpy arrays and back."""

from collections.abc import Sequence

import numpy as np

from nexus.core.errors import InternalError
from nexus.core.tensor import DataType, Tensor, iterate_bytes_elements, pack_bytes_elements
from nexus.zoo.handler import Array

_NUMPY = {
    DataType.BOOL: np.dtype(np.bool_),
    DataType.UINT8: np.dtype("<u1"),
    DataType.UINT16: np.dtype("<u2"),
    DataType.UINT32: np.dtype("<u4"),
    DataType.UINT64: np.dtype("<u8"),
    DataType.INT8: np.dtype("<i1"),
    DataType.INT16: np.dtype("<i2"),
    DataType.INT32: np.dtype("<i4"),
    DataType.INT64: np.dtype("<i8"),
    DataType.FP16: np.dtype("<f2"),
    DataType.FP32: np.dtype("<f4"),
    DataType.FP64: np.dtype("<f8"),
}
_BF16_SHIFT = 16


def array_from(tensor: Tensor) -> Array:
    """The tensor as a read-only array of its shape, without a copy where numpy has the type.

    BYTES gives an object array of ``bytes``; BF16, which numpy lacks, widens exactly to float32.
    """
    if tensor.datatype is DataType.BYTES:
        array = np.empty(len(elements := bytes_elements(tensor)), dtype=object)
        array[:] = elements
    elif tensor.datatype is DataType.BF16:
        halves = np.frombuffer(tensor.content, "<u2").astype("<u4")
        array = (halves << _BF16_SHIFT).view("<f4")
    else:
        array = np.frombuffer(tensor.content, _NUMPY[tensor.datatype])
    return array.reshape(tensor.shape)


def bytes_elements(tensor: Tensor) -> list[bytes]:
    """The elements of a BYTES tensor in order."""
    return list(iterate_bytes_elements(tensor.name, tensor.content))


def tensor_from(name: str, datatype: DataType, array: Array) -> Tensor:
    """An array as a tensor of a declared datatype; numbers are converted when the type differs.

    Raises:
        InternalError: the array cannot be written as that datatype (the network broke its
            declaration).
    """
    shape = tuple(int(size) for size in array.shape)
    if datatype is DataType.BYTES:
        return Tensor(name, datatype, shape, pack_bytes_elements(array.ravel().tolist()))
    if array.dtype == object:
        raise InternalError(f"output {name!r} is declared {datatype.value} but holds objects")
    if datatype is DataType.BF16:
        return Tensor(name, datatype, shape, _bf16_bytes(array))
    return Tensor(name, datatype, shape, array.astype(_NUMPY[datatype], copy=False).tobytes())


def text_tensor(name: str, shape: tuple[int, ...], texts: Sequence[str]) -> Tensor:
    """A BYTES tensor of UTF-8 strings."""
    content = pack_bytes_elements(text.encode() for text in texts)
    return Tensor(name, DataType.BYTES, shape, content)


def _bf16_bytes(array: Array) -> bytes:
    bits = array.astype("<f4").view("<u4")
    # Round to nearest even, as hardware does, rather than cut the low half off.
    rounding = 0x7FFF + ((bits >> _BF16_SHIFT) & 1)
    halves: Array = (bits + rounding) >> _BF16_SHIFT
    return halves.astype("<u2").tobytes()
