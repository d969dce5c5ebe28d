"""LocalCluster's supervision, with stand-ins for the servers: no orphans, clear errors."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from nexus.cli import child, local_cluster, server_commands
from nexus.cli.cluster_file import read_cluster_file
from nexus.cli.local_cluster import LocalCluster
from nexus.core.errors import (
    DeadlineError,
    FailedPreconditionError,
    InternalError,
    NotFoundError,
)
from tests.cli.processes import is_running, until

pytestmark = pytest.mark.integration
FAKE_SERVER = Path(__file__).with_name("fake_server.py")


def fake_arguments(component: str, *flags: str) -> tuple[str, ...]:
    return (sys.executable, str(FAKE_SERVER), component, *flags)


@pytest.fixture(autouse=True)
def fake_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_commands, "server_arguments", fake_arguments)


def cluster_in(directory: Path, *, restart: bool = True, devices: str = "cpu:2") -> LocalCluster:
    return LocalCluster(
        directory, devices=devices, frontends=2, store="redis://unused", restart=restart
    )


async def test_local_cluster_starts_everything_and_stops_it(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        addresses = cluster.addresses
        assert read_cluster_file(tmp_path) == addresses
        names = [member.name for member in addresses.members]
        assert names == ["scheduler", "frontend-0", "frontend-1", "cpu-0", "cpu-1"]
        assert len(set(addresses.frontends)) == 2
        assert all(is_running(member.pid) for member in addresses.members)
        assert (tmp_path / "logs" / "cpu-1.log").read_text().startswith("ready component=backend")
    assert not any(is_running(member.pid) for member in addresses.members)
    with pytest.raises(NotFoundError):
        read_cluster_file(tmp_path)


async def test_local_cluster_restarts_a_killed_frontend_on_its_address(tmp_path: Path) -> None:
    async with cluster_in(tmp_path) as cluster:
        before = cluster.addresses.member("frontend-1")
        await cluster.kill("frontend-1")
        assert not is_running(before.pid)
        await cluster.wait_ready()
        after = cluster.addresses.member("frontend-1")
        assert after.pid != before.pid
        assert after.grpc == before.grpc
        assert read_cluster_file(tmp_path).member("frontend-1") == after


async def test_local_cluster_leaves_the_dead_when_told_to(tmp_path: Path) -> None:
    async with cluster_in(tmp_path, restart=False) as cluster:
        await cluster.kill("cpu-0")
        await until(lambda: cluster.addresses.member("cpu-0").pid == 0)
        await cluster.kill("cpu-0")
        await asyncio.sleep(0.5)
        assert cluster.addresses.member("cpu-0").pid == 0
        with pytest.raises(NotFoundError, match="there are scheduler"):
            await cluster.kill("cpu-9")


async def test_local_cluster_start_fails_with_the_log_of_the_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_FAKE_FAULT", "cpu-1:dies")
    cluster = cluster_in(tmp_path)
    with pytest.raises(InternalError, match=r"exit status 3.*\n.*cpu-1: the weights are missing"):
        await cluster.start()
    assert cluster.addresses.members == ()
    monkeypatch.delenv("NEXUS_FAKE_FAULT")
    async with cluster:
        assert cluster.addresses.member("cpu-1").pid


async def test_local_cluster_start_gives_up_on_a_silent_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_FAKE_FAULT", "frontend-0:silent")
    with pytest.raises(DeadlineError, match=r"not ready within 2 s: frontend-0"):
        await cluster_in(tmp_path).start(timeout_s=2)


async def test_local_cluster_kills_a_server_that_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_FAKE_FAULT", "cpu-0:deaf")
    monkeypatch.setattr(local_cluster, "STOP_GRACE_S", 0.5)
    async with cluster_in(tmp_path) as cluster:
        pid = cluster.addresses.member("cpu-0").pid
        cluster.send("cpu-1", signal.SIGSTOP)
    assert not is_running(pid)


async def test_local_cluster_directory_holds_one_cluster(tmp_path: Path) -> None:
    async with cluster_in(tmp_path):
        with pytest.raises(FailedPreconditionError, match="already running"):
            await cluster_in(tmp_path).start()


async def test_local_cluster_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys; sys.path.insert(0, '.')\n"
        "from nexus.cli import server_commands\n"
        "from tests.cli.test_local_cluster import cluster_in, fake_arguments\n"
        "server_commands.server_arguments = fake_arguments\n"
        "async def main():\n"
        "    async with cluster_in(pathlib.Path(sys.argv[1])):\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path))
    await until((tmp_path / "cluster.json").exists)
    members = read_cluster_file(tmp_path).members
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await until(lambda: not any(is_running(member.pid) for member in members))


async def test_local_cluster_store_keeps_its_data_and_port_over_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    real = child.server_arguments
    monkeypatch.setattr(
        server_commands,
        "server_arguments",
        lambda component, *flags: (real if component == "store" else fake_arguments)(
            component, *flags
        ),
    )
    cluster = LocalCluster(tmp_path, devices="cpu:1")
    async with cluster:
        store, pid = cluster.addresses.store, cluster.addresses.member("store").pid
        await cluster.kill("store")
        await cluster.wait_ready()
        assert cluster.addresses.store == store
        assert cluster.addresses.member("store").pid != pid
    assert (tmp_path / "store" / "appendonlydir").is_dir()
