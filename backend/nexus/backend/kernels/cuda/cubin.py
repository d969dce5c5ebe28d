"""What a compiled kernel takes of the GPU, read from the cubin itself: no CUDA tool, no driver.

A cubin is an ELF file; its section ``.nv.info`` is a list of records (format, attribute, size,
payload), of which three say what this project refuses to ship: too many registers, or a stack.
"""

import struct
from dataclasses import dataclass

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SIZED_VALUE = 4
_REGISTERS, _FRAME, _MIN_STACK = 0x2F, 0x11, 0x12
_SYMBOL_BYTES = 24


@dataclass(frozen=True, slots=True)
class KernelResources:
    """Of one kernel: registers of a thread, bytes of stack of a thread, bytes of code."""

    registers: int
    stack_bytes: int
    code_bytes: int


def resources_of(cubin: bytes) -> dict[str, KernelResources]:
    """By the kernel's name. Spills lie in the stack, so a kernel without stack has none.

    Raises:
        ValueError: it is no cubin.
    """
    sections = _sections(cubin)
    names = _symbol_names(cubin, sections)
    found: dict[int, dict[int, int]] = {}
    for attribute, symbol, value in _records(cubin, sections[".nv.info"]):
        found.setdefault(symbol, {})[attribute] = value
    return {
        names[symbol]: KernelResources(
            values[_REGISTERS],
            max(values.get(_FRAME, 0), values.get(_MIN_STACK, 0)),
            sections[f".text.{names[symbol]}"][1],
        )
        for symbol, values in found.items()
        if _REGISTERS in values
    }


def _sections(cubin: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of every section, by name."""
    if cubin[:4] != b"\x7fELF":
        raise ValueError("not an ELF file, so not a cubin")
    (table,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names_index = struct.unpack_from("<HHH", cubin, 58)
    headers = [_SECTION.unpack_from(cubin, table + index * size) for index in range(count)]
    names = headers[names_index][4]
    return {_text(cubin, names + header[0]): (header[4], header[5]) for header in headers}


def _symbol_names(cubin: bytes, sections: dict[str, tuple[int, int]]) -> list[str]:
    offset, size = sections[".symtab"]
    strings = sections[".strtab"][0]
    return [
        _text(cubin, strings + struct.unpack_from("<I", cubin, offset + index)[0])
        for index in range(0, size, _SYMBOL_BYTES)
    ]


def _records(cubin: bytes, section: tuple[int, int]) -> list[tuple[int, int, int]]:
    """(attribute, symbol, value) of the records that say something of one symbol."""
    position, end = section[0], sum(section)
    records = []
    while position < end:
        form, attribute, size = struct.unpack_from("<BBH", cubin, position)
        position += 4
        if form != _SIZED_VALUE:
            continue
        if attribute in {_REGISTERS, _FRAME, _MIN_STACK}:
            records.append((attribute, *struct.unpack_from("<II", cubin, position)))
        position += size
    return records


def _text(cubin: bytes, offset: int) -> str:
    return cubin[offset : cubin.index(0, offset)].decode()
