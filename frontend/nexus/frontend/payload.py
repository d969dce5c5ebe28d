"""Rows of a request's tensors, when its items are spread over several dispatches.

Contents are cut by size, never parsed; only BYTES tensors, whose elements differ in length, are
walked element by element.
"""

import math
from collections.abc import Sequence

from nexus.core.tensor import DataType, Tensor, iterate_bytes_elements, pack_bytes_elements


def rows_of(tensors: Sequence[Tensor], first: int, rows: int) -> tuple[Tensor, ...]:
    """Rows ``first`` .. ``first + rows - 1`` of every tensor along dimension 0."""
    return tuple(_rows(tensor, first, rows) for tensor in tensors)


def frame_tensor(frame: bytes, name: str = "frame") -> Tensor:
    """A JPEG or PNG file as image models take it: one BYTES element."""
    return Tensor(name, DataType.BYTES, (1,), pack_bytes_elements((frame,)))


def _rows(tensor: Tensor, first: int, rows: int) -> Tensor:
    if first == 0 and rows == tensor.shape[0]:
        return tensor
    shape = (rows, *tensor.shape[1:])
    if tensor.datatype is DataType.BYTES:
        elements = list(iterate_bytes_elements(tensor.name, tensor.content))
        per_row = math.prod(tensor.shape[1:])
        chosen = elements[first * per_row : (first + rows) * per_row]
        return Tensor(tensor.name, tensor.datatype, shape, pack_bytes_elements(chosen))
    row_bytes = math.prod(tensor.shape[1:]) * tensor.datatype.item_bytes
    content = tensor.content[first * row_bytes : (first + rows) * row_bytes]
    return Tensor(tensor.name, tensor.datatype, shape, content)
