"""One cluster a directory: a lock that the kernel frees when its holder dies."""

import fcntl
import os
from pathlib import Path

from nexus.core.errors import FailedPreconditionError


class DirectoryLock:
    """Holds DIR/lock from construction to ``release``."""

    def __init__(self, directory: Path) -> None:
        """Create the directory and take the lock; raise FailedPreconditionError when taken."""
        directory.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise FailedPreconditionError(
                f"a cluster is already running in {directory}: stop it, or pass another --dir",
                reason="directory_in_use",
            ) from error

    def release(self) -> None:
        """Let the next cluster have the directory."""
        os.close(self._descriptor)
