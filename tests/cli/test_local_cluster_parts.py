"""The pure parts of a local cluster: ready lines, restarts, command lines, cluster.json."""

from pathlib import Path

import pytest

from nexus.cli.cluster_file import (
    ClusterFile,
    Member,
    default_directory,
    read_cluster_file,
    write_cluster_file,
)
from nexus.cli.devices import BackendDevice
from nexus.cli.discovery import ClusterChoice
from nexus.cli.ready_line import ReadyLine, parse_ready_line
from nexus.cli.restart_policy import BACKOFF_LIMIT_US, STABLE_US, Deaths, after_death
from nexus.cli.server_commands import ServerCommands, embedded_store
from nexus.core.errors import DocumentError, NotFoundError

LINE = "ready component=backend name=b0 grpc=127.0.0.1:1 data=127.0.0.1:2 metrics=127.0.0.1:3"


def test_ready_line_says_where_a_server_listens() -> None:
    assert parse_ready_line(LINE) == ReadyLine(
        component="backend",
        name="b0",
        grpc="127.0.0.1:1",
        data="127.0.0.1:2",
        metrics="127.0.0.1:3",
    )
    assert parse_ready_line(LINE + " novelty=1") == parse_ready_line(LINE)


@pytest.mark.parametrize("line", ["", "ready", "ready name=b0", "level=info msg=ready x=y"])
def test_ready_line_is_told_from_other_lines(line: str) -> None:
    assert parse_ready_line(line) is None


def test_restart_wait_doubles_to_a_limit_and_starts_anew_after_a_long_life() -> None:
    deaths, waits = Deaths(), []
    for _ in range(9):
        deaths = after_death(deaths, lived_us=1, now_us=0)
        waits.append(deaths.restart_at_us)
    assert waits[:4] == [200_000, 400_000, 800_000, 1_600_000]
    assert waits[-1] == BACKOFF_LIMIT_US
    assert after_death(deaths, lived_us=STABLE_US, now_us=5) == Deaths(1, 200_005)


def test_server_commands_take_free_ports_at_first_and_the_same_again() -> None:
    commands = ServerCommands(store="redis://s", cluster="c")
    frontend = commands.frontend(1, ("--extra", "x"))
    first = " ".join(frontend(None).arguments)
    assert "nexus.cli.main frontend --store redis://s --cluster c --name frontend-1" in first
    assert "--listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0" in first
    assert first.endswith("--extra x")
    ready = ReadyLine(component="frontend", name="frontend-1", grpc="h:1", metrics="h:2")
    assert "--listen h:1 --metrics-listen h:2" in " ".join(frontend(ready).arguments)


def test_server_commands_backend_has_a_device_and_threads() -> None:
    commands = ServerCommands(store="redis://s", cluster="c")
    command = commands.backend(BackendDevice("cpu-0", "cpu"), 2, ())(None)
    words = "--data-listen 127.0.0.1:0 --device cpu --threads 2"
    assert words in " ".join(command.arguments)


def test_server_commands_store_takes_up_its_port_and_data() -> None:
    command = embedded_store(Path("data"))
    assert command(None).arguments[-4:] == ("--listen", "127.0.0.1:0", "--data-dir", "data")
    again = command(ReadyLine(component="store", name="store", data="h:7"))
    assert again.arguments[-4:] == ("--listen", "h:7", "--data-dir", "data")


def _file() -> ClusterFile:
    return ClusterFile(
        cluster="local",
        pid=1,
        store="redis://s",
        members=(
            Member(name="scheduler", component="scheduler", pid=2, grpc="h:1", metrics="h:2"),
            Member(name="frontend-0", component="frontend", pid=3, grpc="h:3"),
            Member(name="frontend-1", component="frontend", pid=4, grpc="h:4"),
        ),
    )


def test_cluster_file_round_trips(tmp_path: Path) -> None:
    write_cluster_file(tmp_path, _file())
    read = read_cluster_file(tmp_path)
    assert read == _file()
    assert read.frontends == ("h:3", "h:4")
    assert read.control == "h:1"
    assert read.metrics_urls == ("http://h:2/metrics",)
    assert [path.name for path in tmp_path.iterdir()] == ["cluster.json"]
    with pytest.raises(NotFoundError, match="there are scheduler, frontend-0"):
        read.member("b9")


def test_cluster_file_absent_or_malformed_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nexus up"):
        read_cluster_file(tmp_path)
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(DocumentError, match=r"cluster\.json: not JSON"):
        read_cluster_file(tmp_path)


def test_discovery_flags_beat_the_environment_and_that_beats_the_default(tmp_path: Path) -> None:
    write_cluster_file(tmp_path, _file())
    environment = {"NEXUS_ADDRESS": "e:1, e:2", "NEXUS_CONTROL": "e:3"}
    assert ClusterChoice(address="f:1,f:2").frontends(environment) == ("f:1", "f:2")
    assert ClusterChoice().frontends(environment) == ("e:1", "e:2")
    assert ClusterChoice().control_services(environment) == ("e:3",)
    assert ClusterChoice(directory=tmp_path).frontends(environment) == ("h:3", "h:4")
    by_variable = {"NEXUS_CLUSTER_DIR": str(tmp_path)}
    assert ClusterChoice().control_services(by_variable) == ("h:1",)
    by_default = {"XDG_STATE_HOME": str(tmp_path)}
    assert default_directory(by_default) == tmp_path / "nexus" / "local"
    with pytest.raises(NotFoundError):
        ClusterChoice().frontends(by_default)
