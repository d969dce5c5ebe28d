"""What callers hand in (arrays, bytes, numbers, images, paths) as tensors and frames.

numpy and Pillow are never imported here: an array or an image brings its own methods.
"""

import io
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from nexus.core.errors import InvalidArgumentError, NotFoundError
from nexus.core.tensor import DataType, Tensor, pack_bytes_elements

DEPTH_MAX = 16
"""Nesting of lists; a list that contains itself ends here, as an error."""


@runtime_checkable
class Array(Protocol):
    """A numpy array, or what behaves like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        ...

    @property
    def dtype(self) -> Any:
        """Its element type."""
        ...

    def tobytes(self) -> bytes:
        """Row-major content."""
        ...


@runtime_checkable
class Image(Protocol):
    """A Pillow image, or what saves itself like one."""

    def save(self, fp: Any, format: str) -> None:  # noqa: A002 - Pillow's name
        """Write the encoded image."""
        ...


Scalar: TypeAlias = "bool | int | float | str | bytes"
InputValue: TypeAlias = "Array | bytes | str | Sequence[Any]"
Inputs: TypeAlias = "Mapping[str, InputValue] | Sequence[Tensor]"
Frame: TypeAlias = "bytes | Image | Path | str"

_ARRAY_DATATYPES = {
    "bool": DataType.BOOL,
    "bfloat16": DataType.BF16,
    "float16": DataType.FP16,
    "float32": DataType.FP32,
    "float64": DataType.FP64,
    **{f"int{bits}": DataType(f"INT{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": DataType(f"UINT{bits}") for bits in (8, 16, 32, 64)},
}
_BYTES_KINDS = "OSU"
"""numpy's kinds of objects, byte strings and texts: BYTES on the wire."""


def tensors_from(inputs: Inputs) -> tuple[Tensor, ...]:
    """Inputs as tensors, in the order given.

    Arrays keep their type. Lists (nested alike) of float become FP32, of int INT64, of bool BOOL,
    of str or bytes BYTES. A single ``bytes`` or ``str`` is one BYTES element, shape [1].

    Raises:
        InvalidArgumentError: a value is ragged, of mixed types, or of no type the protocol has.
    """
    if isinstance(inputs, Mapping):
        return tuple(_tensor(name, value) for name, value in inputs.items())
    return tuple(inputs)


def frame_bytes(frame: Frame) -> bytes:
    """A frame as the bytes of an image file: bytes as they are, a path read, an image as JPEG.

    Raises:
        NotFoundError: the path cannot be read.
        InvalidArgumentError: it is nothing of the kind.
    """
    if isinstance(frame, bytes | bytearray | memoryview):
        return bytes(frame)
    if isinstance(frame, Path | str):
        try:
            return Path(frame).read_bytes()
        except OSError as error:
            raise NotFoundError(f"frame {str(frame)!r} cannot be read: {error.strerror}") from error
    if isinstance(frame, Image):
        encoded = io.BytesIO()
        frame.save(encoded, format="JPEG")
        return encoded.getvalue()
    raise InvalidArgumentError(
        f"a frame is bytes of an image file, a path or a PIL image, not {type(frame).__name__}",
        reason="invalid_frame",
    )


def _tensor(name: str, value: InputValue) -> Tensor:
    if isinstance(value, bytes | bytearray | memoryview | str):
        return _bytes_tensor(name, (1,), [value])
    if isinstance(value, Array):
        return _tensor_of_array(name, value)
    if isinstance(value, Sequence):
        return _tensor_of_list(name, value)
    raise _unsupported(name, value)


def _tensor_of_array(name: str, array: Array) -> Tensor:
    if array.dtype.kind in _BYTES_KINDS:
        return _bytes_tensor(name, array.shape, list(flatten(name, array.tolist())))  # type: ignore[attr-defined] # numpy has it
    datatype = _ARRAY_DATATYPES.get(array.dtype.name)
    if datatype is None:
        raise InvalidArgumentError(
            f"input {name!r}: arrays of {array.dtype} have no datatype in the protocol",
            reason="invalid_tensor",
        )
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))  # type: ignore[attr-defined] # numpy has it
    return Tensor(name, datatype, tuple(array.shape), array.tobytes())


def _tensor_of_list(name: str, value: Sequence[Any]) -> Tensor:
    shape = nested_shape(name, value)
    flat = list(flatten(name, value))
    kinds = {type(item) for item in flat}
    if kinds <= {str, bytes}:
        return _bytes_tensor(name, shape, flat)
    if kinds == {bool}:
        return Tensor(name, DataType.BOOL, shape, bytes(flat))
    if kinds == {int}:
        return Tensor(name, DataType.INT64, shape, _pack(name, "q", flat))
    if kinds <= {int, float}:
        return Tensor(name, DataType.FP32, shape, _pack(name, "f", flat))
    listed = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise InvalidArgumentError(
        f"input {name!r}: a list of {listed} is not one type; use a numpy array or a Tensor",
        reason="invalid_tensor",
    )


def _bytes_tensor(name: str, shape: tuple[int, ...], elements: Sequence[Any]) -> Tensor:
    encoded = (item.encode() if isinstance(item, str) else bytes(item) for item in elements)
    return Tensor(name, DataType.BYTES, tuple(shape), pack_bytes_elements(encoded))


def nested_shape(name: str, value: Any, depth: int = 0) -> tuple[int, ...]:
    """The shape of nested lists; raise InvalidArgumentError when they are ragged or too deep."""
    if not isinstance(value, list | tuple):
        return ()
    if depth == DEPTH_MAX:
        raise InvalidArgumentError(
            f"input {name!r}: lists nest more than {DEPTH_MAX} deep", reason="invalid_shape"
        )
    shapes = {nested_shape(name, item, depth + 1) for item in value}
    if len(shapes) > 1:
        raise InvalidArgumentError(
            f"input {name!r}: the list is ragged, its parts have shapes "
            f"{', '.join(str(list(shape)) for shape in sorted(shapes))}",
            reason="invalid_shape",
        )
    return (len(value), *(shapes.pop() if shapes else ()))


def flatten(name: str, value: Any) -> Iterator[Any]:
    """The scalars of nested lists; raise InvalidArgumentError at anything else."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from flatten(name, item)
    elif isinstance(value, bool | int | float | str | bytes):
        yield value
    else:
        raise _unsupported(name, value)


def _pack(name: str, code: str, values: Sequence[float]) -> bytes:
    try:
        return struct.pack(f"<{len(values)}{code}", *values)
    except (struct.error, OverflowError) as error:
        raise InvalidArgumentError(f"input {name!r}: {error}", reason="invalid_tensor") from error


def _unsupported(name: str, value: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"input {name!r}: a {type(value).__name__} is no tensor; use a numpy array, a list, bytes "
        "or a nexus.core Tensor",
        reason="invalid_tensor",
    )
