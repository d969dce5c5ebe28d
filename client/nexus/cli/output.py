"""How commands print: tables for people, JSON and YAML for programs."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from nexus.core.errors import FailedPreconditionError


def print_json(data: Any) -> None:
    """Indented JSON on stdout."""
    print(json.dumps(data, indent=2))


def print_yaml(data: Any) -> None:
    """Block-style YAML on stdout, keys in the order given."""
    yaml.safe_dump(data, sys.stdout, sort_keys=False)


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns as wide as their widest cell; numbers are set right, the last column is open."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(headings, *cells, strict=True)]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(headings))
    ]
    return [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [[heading.upper() for heading in headings], *cells]
    ]


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout, headings in capitals."""
    print("\n".join(table_lines(headings, rows)))


def milliseconds(duration_us: float) -> str:
    """``12.3 ms``, for people."""
    return f"{duration_us / 1000:.1f} ms"


def write_picture(path: Path, svg: str) -> None:
    """Write a picture to a file.

    Raises:
        FailedPreconditionError: the file cannot be written.
    """
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise FailedPreconditionError(
            f"cannot write {str(path)!r}: {error.strerror}; name a file in a folder that exists",
            reason="unwritable_file",
        ) from error
