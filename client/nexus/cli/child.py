"""One server of a local cluster, as a child process with a log file.

The child writes straight into its log, not into a pipe: a slow or dead parent can never block it.
The parent finds the ready line by reading the log.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from nexus.cli.ready_line import ReadyLine, parse_ready_line
from nexus.core.errors import InternalError

LOG_BYTES_MAX = 16 * 1024 * 1024
"""A log that grows past this is moved to ``NAME.log.1``, so a cluster never fills the disk."""
TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCommand:
    """What to run."""

    name: str
    component: str
    arguments: tuple[str, ...]


class Child:
    """A running child process; ``poll`` and ``ready`` never block."""

    def __init__(self, command: ChildCommand, log_path: Path) -> None:
        """Start it, tied to this process's life, in a session of its own (no Ctrl-C from a tty)."""
        self.command = command
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self.rotate_log()
        with log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the command line is built by this package
                _bound(command.arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def ready(self) -> ReadyLine | None:
        """Where it serves, once it does."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").split("\n")
        # The last piece has no newline yet, so it may be half a line.
        return next((ready for line in lines[:-1] if (ready := parse_ready_line(line))), None)

    def send(self, number: signal.Signals) -> None:
        """Signal the child and what it started; nothing happens when it has ended."""
        if self.poll() is None:
            os.killpg(self.pid, number)

    def tail(self) -> str:
        """The last lines it wrote in this life, for error messages."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:]) or "  | (it wrote nothing)"

    def death(self) -> InternalError:
        """The error to raise when it ended although it should not have."""
        status = self.poll()
        how = f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
        where = f"the end of {self.log_path}:\n{self.tail()}"
        return InternalError(
            f"{self.command.name} ended at start ({how}); {where}", reason="child_died"
        )

    def rotate_log(self) -> None:
        """Move a large log aside. The child appends, so truncating under it is safe."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.with_suffix(".log.1").write_bytes(self.log_path.read_bytes())
            os.truncate(self.log_path, 0)
            self._log_start = 0


def server_arguments(component: str, *flags: str) -> tuple[str, ...]:
    """The command line of one of the package's servers, run by this very interpreter."""
    return (sys.executable, "-m", "nexus.cli.main", component, *flags)


def _bound(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The command, run so that the kernel ends it when this process dies, even by ``kill -9``."""
    return (sys.executable, "-m", "nexus.store.bound_child", str(os.getpid()), *arguments)
