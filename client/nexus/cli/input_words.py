"""``--input NAME=VALUE`` words of ``nexus infer`` as tensors of the datatype the model declares.

A value is JSON (``[[1, 2], [3, 4]]``, ``0.5``), ``@FILE`` for the bytes of a file as one element
(an image, say), ``zeros``, or any other text as one element.
"""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexus.client.inputs import flatten, nested_shape, tensors_from
from nexus.core.errors import InvalidArgumentError, NotFoundError
from nexus.core.tensor import VARIABLE, DataType, Tensor, TensorSpec

_CODES = {
    DataType.BOOL: "?",
    DataType.FP16: "e",
    DataType.FP32: "f",
    DataType.FP64: "d",
    **{DataType(f"INT{bits}"): code for bits, code in zip((8, 16, 32, 64), "bhiq", strict=True)},
    **{DataType(f"UINT{bits}"): code for bits, code in zip((8, 16, 32, 64), "BHIQ", strict=True)},
}


def tensors_from_words(
    words: list[str], specs: tuple[TensorSpec, ...], *, fill: bool
) -> tuple[Tensor, ...]:
    """One tensor a word; with ``fill`` also zeros for every declared input that has no word.

    Raises:
        InvalidArgumentError: a word is no NAME=VALUE, or its value does not fit the declaration.
        NotFoundError: a file cannot be read.
    """
    declared = {spec.name: spec for spec in specs}
    given = dict(_split(word) for word in words)
    tensors = [_tensor(name, value, declared) for name, value in given.items()]
    missing = [spec for spec in specs if fill and spec.name not in given]
    return (*tensors, *(zeros(spec) for spec in missing))


def zeros(spec: TensorSpec) -> Tensor:
    """A tensor of zeros (or empty elements) for a spec; a variable size becomes 1."""
    shape = tuple(1 if size == VARIABLE else size for size in spec.shape)
    item_bytes = spec.datatype.item_bytes or 4  # an empty BYTES element is its length alone
    return Tensor(spec.name, spec.datatype, shape, bytes(math.prod(shape) * item_bytes))


def _split(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise InvalidArgumentError(f"--input {word!r} is not NAME=VALUE")
    return name, value


def _tensor(name: str, value: str, declared: Mapping[str, TensorSpec]) -> Tensor:
    if value.startswith("@"):
        return tensors_from({name: _content(name, value[1:])})[0]
    spec = declared.get(name)
    if value == "zeros" and spec is not None:
        return zeros(spec)
    try:
        parsed: Any = json.loads(value)
    except ValueError:
        parsed = value
    if isinstance(parsed, str):
        return tensors_from({name: parsed})[0]
    listed = parsed if isinstance(parsed, list) else [parsed]
    if spec is None or spec.datatype not in _CODES:
        return tensors_from({name: listed})[0]
    return _packed(name, listed, spec.datatype)


def _packed(name: str, listed: list[Any], datatype: DataType) -> Tensor:
    shape, flat = nested_shape(name, listed), list(flatten(name, listed))
    try:
        content = struct.pack(f"<{len(flat)}{_CODES[datatype]}", *flat)
    except (struct.error, OverflowError, TypeError) as error:
        raise InvalidArgumentError(
            f"--input {name!r}: the model wants {datatype.value}: {error}"
        ) from error
    return Tensor(name, datatype, shape, content)


def _content(name: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise NotFoundError(f"--input {name!r}: {file} cannot be read: {error.strerror}") from error
