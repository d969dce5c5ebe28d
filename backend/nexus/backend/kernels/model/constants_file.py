"""Constants on disk: measured once, read again by whoever has the same hardware and software.

One JSON file for each identity. A file that cannot be read, is malformed, or was written for
something else counts as none: constants can always be measured again.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nexus.backend.kernels.cuda.compiler import cache_folder

T = TypeVar("T")
FORMAT = 1
"""Of the file; another is measured again."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What constants are of: ``kind`` begins the file's name, ``fields`` must all be the same."""

    kind: str
    fields: Mapping[str, str]

    def path(self, folder: Path | None) -> Path:
        """The file's place in a folder; None is the user's cache."""
        key = json.dumps(self.fields, sort_keys=True).encode()
        name = f"{self.kind}-{hashlib.sha256(key).hexdigest()[:16]}.json"
        return (folder or cache_folder() / "constants") / name


def load(
    identity: Identity, read: Callable[[Mapping[str, Any]], T], folder: Path | None = None
) -> T | None:
    """What was saved for this identity; None if there is none or it is of no use."""
    path = identity.path(folder)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT or data["identity"] != dict(identity.fields):
            return None
        return read(data["constants"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning(
            "%s is of no use (%s: %s): measured again", path, type(error).__name__, error
        )
        return None


def save(identity: Identity, constants: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Write it as a whole or not at all; a folder that cannot be written is only logged."""
    path = identity.path(folder)
    data = {"format": FORMAT, "identity": dict(identity.fields), "constants": constants}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, delete=False
        ) as file:
            json.dump(data, file, indent=1)
        os.replace(file.name, path)  # noqa: PTH105 - the temporary file has a name, not a Path
    except OSError as error:
        logger.warning("cannot keep constants in %s: %s", path, error)
    return path
