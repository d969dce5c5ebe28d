"""Write generated files, or check that the committed ones are what the code says."""

import argparse
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2]
"""The folder `deploy/` of the source tree; generators run there, never from an installed wheel."""


def run(files: Mapping[Path, str], *, prog: str, argv: Sequence[str] | None = None) -> int:
    """The command line of a generator: write ``files``, or with ``--check`` compare them.

    Returns:
        The exit code: 1 when a checked file differs or is missing.
    """
    parser = argparse.ArgumentParser(prog=prog, description=f"Write {_names(files)}.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where a file is not up to date"
    )
    if not parser.parse_args(argv).check:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return 0
    differences = [line for path, text in files.items() for line in _difference(path, text)]
    sys.stderr.writelines(differences)
    return 1 if differences else 0


def _names(files: Mapping[Path, str]) -> str:
    return ", ".join(str(path.relative_to(DEPLOY.parent)) for path in files)


def _difference(path: Path, text: str) -> list[str]:
    committed = path.read_text() if path.exists() else ""
    return list(
        difflib.unified_diff(
            committed.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"{path.name} (committed)",
            f"{path.name} (generated)",
        )
    )
