"""Frozen dataclasses to plain data (dicts, lists, numbers, strings) and back, by their type hints.

One codec for YAML resources, JSON in the store and ``--json`` output: strict (an unknown or missing
key is an error), and every error names the path to the offending key.
"""

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from nexus.core.errors import DocumentError, InvalidArgumentError

T = TypeVar("T")


def to_data(value: object) -> Any:
    """A dataclass (or a container of them) as plain data; enums become their values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_data(item) for item in value]
    assert value is None or isinstance(value, str | int | float | bool), value
    return value


def from_data(target: type[T], data: object, path: str = "") -> T:
    """Plain data as an object of ``target``; raise DocumentError naming the path when it is not."""
    return typing.cast("T", _convert(target, data, path or target.__name__))


def to_json(value: object) -> bytes:
    """Compact JSON of a dataclass, keys in declaration order."""
    return json.dumps(to_data(value), separators=(",", ":")).encode()


def from_json(target: type[T], content: bytes, path: str = "") -> T:
    """Parse what ``to_json`` wrote; raise DocumentError when it is not JSON or not of the type."""
    try:
        data = json.loads(content)
    except ValueError as error:
        raise DocumentError(f"{path or target.__name__}: not JSON: {error}") from error
    return from_data(target, data, path)


def _convert(hint: Any, data: object, path: str) -> object:
    hint = _unwrap_new_type(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_optional(hint, data, path)
    if origin is tuple:
        return _convert_tuple(hint, data, path)
    if origin is not None and issubclass(origin, Mapping):
        return _convert_mapping(hint, data, path)
    if dataclasses.is_dataclass(hint):
        return _convert_dataclass(hint, data, path)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _convert_enum(hint, data, path)
    return _convert_scalar(hint, data, path)


def _unwrap_new_type(hint: Any) -> Any:
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    return hint


def _convert_optional(hint: Any, data: object, path: str) -> object:
    arguments = [argument for argument in typing.get_args(hint) if argument is not types.NoneType]
    assert len(arguments) == 1, hint
    return None if data is None else _convert(arguments[0], data, path)


def _convert_tuple(hint: Any, data: object, path: str) -> object:
    element, ellipsis = typing.get_args(hint)
    assert ellipsis is Ellipsis, hint
    if not isinstance(data, list | tuple):
        raise DocumentError(f"{path}: expected a list, got {_kind(data)}")
    return tuple(_convert(element, item, f"{path}[{i}]") for i, item in enumerate(data))


def _convert_mapping(hint: Any, data: object, path: str) -> object:
    key_hint, value_hint = typing.get_args(hint)
    if not isinstance(data, Mapping):
        raise DocumentError(f"{path}: expected a mapping, got {_kind(data)}")
    return {
        _convert(key_hint, key, path): _convert(value_hint, item, f"{path}.{key}")
        for key, item in data.items()
    }


def _convert_dataclass(hint: Any, data: object, path: str) -> object:
    if not isinstance(data, Mapping):
        raise DocumentError(f"{path}: expected a mapping, got {_kind(data)}")
    fields, hints = _layout(hint)
    for key in data:
        if key not in fields:
            known = ", ".join(fields)
            raise DocumentError(f"{path}.{key}: unknown key; the keys are {known}")
    values = {key: _convert(hints[key], item, f"{path}.{key}") for key, item in data.items()}
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if name not in values and not optional:
            raise DocumentError(f"{path}.{name}: missing")
    try:
        return hint(**values)
    except InvalidArgumentError as error:
        raise DocumentError(
            f"{path}: {error.message}", reason=error.reason, details=error.details
        ) from error


@functools.cache
def _layout(target: type) -> tuple[dict[str, dataclasses.Field[Any]], dict[str, Any]]:
    """Fields and type hints of a dataclass: working them out costs more than using them."""
    fields = {field.name: field for field in dataclasses.fields(target)}
    return fields, typing.get_type_hints(target)


def _convert_enum(hint: type[enum.Enum], data: object, path: str) -> object:
    try:
        return hint(data)
    except ValueError as error:
        known = ", ".join(str(member.value) for member in hint)
        raise DocumentError(f"{path}: {data!r} is not one of {known}") from error


def _convert_scalar(hint: Any, data: object, path: str) -> object:
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(data, bool) and hint is not bool:
        raise DocumentError(f"{path}: expected {hint.__name__}, got {data}")
    if not isinstance(data, hint):
        raise DocumentError(f"{path}: expected {hint.__name__}, got {_kind(data)}")
    return data


def _kind(data: object) -> str:
    return "nothing" if data is None else f"{type(data).__name__} {data!r}"
