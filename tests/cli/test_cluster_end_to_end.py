"""A real local cluster: declare, serve, lose a backend, stop; through SDK and command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nexus.cli.local_cluster import LocalCluster
from nexus.cli.main import main
from nexus.client import AsyncClient, AsyncControlClient
from nexus.core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NexusError,
    NotFoundError,
)
from tests.cli.processes import is_running, until

pytestmark = pytest.mark.integration

RESOURCES = """
kind: Model
name: resnet50
engine: emulated
inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]
outputs: [{name: y, datatype: FP32, shape: [-1, 2]}]
---
kind: Profile
model: resnet50
device: v100
alpha_ms: 1
beta_ms: 8
max_batch: 16
---
kind: Session
model: resnet50
slo_ms: 500
rate: 20
"""
ROW = [[0.1, 0.2, 0.3, 0.4]]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    async with LocalCluster(tmp_path, devices="emulated:v100:2", frontends=1) as started:
        async with AsyncControlClient(started.addresses.control) as control:
            applied = await control.apply(RESOURCES)
        assert [one.change for one in applied] == ["created"] * 3
        await serving(started)
        yield started


async def serving(cluster: LocalCluster) -> None:
    """Return when the model is ready on the frontend."""
    async with AsyncClient(cluster.addresses.frontends) as client, asyncio.timeout(30):
        while not await is_ready(client):  # noqa: ASYNC110 - a remote state
            await asyncio.sleep(0.05)


async def is_ready(client: AsyncClient) -> bool:
    try:
        return await client.ready("resnet50")
    except NotFoundError:
        return False


async def test_cluster_serves_a_declared_model_within_its_slo(cluster: LocalCluster) -> None:
    async with AsyncClient(cluster.addresses.frontends) as client:
        results = [await client.infer("resnet50", {"x": _row()}, slo_ms=500) for _ in range(10)]
        assert all(result.tensor("y").shape == (1, 2) for result in results)
        assert {result.session for result in results} == {"resnet50@500ms"}
        assert all(result.execute_us >= 9_000 for result in results)
        assert min(result.round_trip_us for result in results) < 500_000
        with pytest.raises(NotFoundError):
            await client.infer("vgg", {"x": [1.0]})
        with pytest.raises(InvalidArgumentError, match="x"):
            await client.infer("resnet50", {"x": [[1]]})


def _row() -> list[list[float]]:
    return [list(row) for row in ROW]


async def test_cluster_survives_the_loss_of_a_backend(cluster: LocalCluster) -> None:
    async with (
        AsyncClient(cluster.addresses.frontends) as client,
        AsyncControlClient(cluster.addresses.control) as control,
    ):
        table = await control.routing_table()
        (serving_backend, *_) = [r.backend for s in table.sessions for r in s.routes]
        before = cluster.addresses.member(serving_backend).pid
        await cluster.kill(serving_backend)
        async with asyncio.timeout(40):
            while not await _answers(client):  # noqa: ASYNC110 - a remote state
                await asyncio.sleep(0.1)
        await cluster.wait_ready()
        assert cluster.addresses.member(serving_backend).pid not in {0, before}
        view = await control.cluster()
        assert len(view.frontends) == 1


async def _answers(client: AsyncClient) -> bool:
    try:
        await client.infer("resnet50", {"x": _row()}, timeout_s=2)
    except NexusError:
        return False
    return True


async def test_cluster_command_line_sees_and_changes_it(
    cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ("--cluster-dir", str(cluster.directory))

    async def nexus(*words: str) -> str:
        assert await asyncio.to_thread(main, [*words, *here]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    declared = json.loads(await nexus("get", "all", "--json"))
    assert [one["kind"] for one in declared] == ["model", "session", "profile"]
    assert "resnet50@500ms" in await nexus("get", "session")
    assert "slo_us: 500000" in await nexus("get", "session", "resnet50@500ms", "-o", "yaml")
    facts = json.loads(await nexus("describe", "session", "resnet50@500ms", "--json"))
    assert facts["cluster"]["placements"]
    answer = json.loads(await nexus("infer", "resnet50", "--zeros", "--json"))
    assert answer["outputs"][0]["shape"] == [1, 2]
    seen = json.loads(await nexus("top", "--json", "--interval", "0.2"))
    assert seen["sessions"][0]["session"] == "resnet50@500ms"
    assert {one["backend"] for one in seen["backends"]} == {"v100-0", "v100-1"}
    frontend = cluster.addresses.frontends[0]
    assert await asyncio.to_thread(main, ["health", frontend]) == 0
    assert "deleted" in await nexus("delete", "session", "resnet50@500ms")


async def test_cluster_refuses_to_delete_what_is_needed(cluster: LocalCluster) -> None:
    async with AsyncControlClient(cluster.addresses.control) as control:
        with pytest.raises(FailedPreconditionError, match="resnet50@500ms"):
            await control.delete("model", "resnet50")


async def test_cluster_stops_without_orphans(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path, devices="emulated:v100:2")
    await cluster.start()
    pids = [member.pid for member in cluster.addresses.members]
    assert len(pids) == 5
    await cluster.stop()
    await until(lambda: not any(is_running(pid) for pid in pids))
