"""The kernel's source as one string: NVRTC is given no headers and no include path."""

import re
from functools import cache
from importlib.resources import files

MAIN = "recurrent.cu"
_INCLUDE = re.compile(r'^#include "([\w.]+)"\n', flags=re.MULTILINE)
_FOR_TESTS = "emulator_port.h"


@cache
def kernel_source() -> str:
    """`recurrent.cu` with every header in the place of its first inclusion."""
    return _inlined(MAIN, set())


def _inlined(name: str, seen: set[str]) -> str:
    if name in seen or name == _FOR_TESTS:
        return ""
    seen.add(name)
    text = (files(__package__) / "source" / name).read_text(encoding="utf-8")
    text = text.replace("#pragma once\n", "")
    return _INCLUDE.sub(lambda match: _inlined(match[1], seen), text)
