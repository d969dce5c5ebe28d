"""Real schedulers on a real store: control service, leadership, publication, shutdown."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nexus.client import AsyncControlClient
from nexus.core.cluster import BackendState, BackendStatus
from nexus.core.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.core.session import Session
from nexus.scheduler.control import SERVICE
from nexus.store.cluster import ClusterStore
from nexus.store.embedded import EmbeddedServer, start_embedded
from nexus.store.redis_store import RedisStore

pytestmark = pytest.mark.integration

RESOURCES = """
kind: Model
name: resnet50
engine: emulated
---
kind: Profile
model: resnet50
device: v100
alpha_ms: 0.75
beta_ms: 7.96
memory_mb: 400
---
kind: Session
model: resnet50
slo_ms: 50
rate: 400
"""


@pytest.fixture(scope="module")
def store_server() -> Iterator[EmbeddedServer]:
    with start_embedded() as server:
        yield server


@dataclass
class SchedulerProcess:
    """A scheduler as users run it."""

    process: "asyncio.subprocess.Process"
    address: str


@asynccontextmanager
async def scheduler(store_url: str, cluster: str, name: str) -> AsyncIterator[SchedulerProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "nexus.scheduler",
        *("--store", store_url, "--cluster", cluster, "--name", name),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert line.startswith(f"ready component=scheduler name={name} grpc=127.0.0.1:"), line
    try:
        yield SchedulerProcess(process, line.split("grpc=")[1].split()[0])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def backend(name: str, plan: Plan) -> BackendStatus:
    """A backend that has loaded whatever the plan asks of it."""
    mine = plan.backend_plan(name)
    loaded = tuple(placement.session for placement in mine.placements) if mine else ()
    return BackendStatus(
        backend=name,
        incarnation=1,
        address=f"127.0.0.1:{9000 + int(name[1:])}",
        control_address="127.0.0.1:1",
        device="v100",
        state=BackendState.SERVING,
        plan_version=plan.version,
        loaded=loaded,
    )


async def follow_until_routed(
    cluster: ClusterStore, names: tuple[str, ...], session: str
) -> RoutingTable:
    """Play the backends until the table routes the session to one of them."""
    async with asyncio.timeout(15):
        while True:
            plan = await cluster.plan()
            for name in names:
                await cluster.report_backend(backend(name, plan))
            table = await cluster.table()
            routes = table.session(session)
            if routes is not None and any(route.backend in names for route in routes.routes):
                return table
            await asyncio.sleep(0.05)


async def test_scheduler_server_serves_as_a_whole_leader_or_not(
    store_server: EmbeddedServer,
) -> None:
    async with (
        scheduler(store_server.url, "health", "first"),
        scheduler(store_server.url, "health", "standby") as standby,
        grpc.aio.insecure_channel(standby.address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_scheduler_serves_declares_plans_and_leaves_in_order(
    store_server: EmbeddedServer,
) -> None:
    store = RedisStore(store_server.url)
    cluster = ClusterStore(store, "whole")
    async with (
        scheduler(store_server.url, "whole", "s0") as process,
        AsyncControlClient(process.address) as client,
    ):
        applied = await client.apply(RESOURCES)
        assert [(entry.kind, entry.name, entry.change) for entry in applied] == [
            ("model", "resnet50", "created"),
            ("profile", "resnet50/v100", "created"),
            ("session", "resnet50@50ms", "created"),
        ]
        assert {entry.change for entry in await client.apply(RESOURCES)} == {"unchanged"}
        table = await follow_until_routed(cluster, ("b0", "b1"), "resnet50@50ms")
        assert table.fence >= 1
        plan = await client.plan()
        assert plan.devices_needed == {"v100": 1}
        view = await client.cluster()
        assert (view.leader, len(view.backends)) == ("s0", 2)
        facts = (await client.describe("session", "resnet50@50ms")).facts
        assert facts["rate"] == 400

        with pytest.raises(FailedPreconditionError, match=r"in use by session resnet50@50ms"):
            await client.delete("model", "resnet50")
        with pytest.raises(NotFoundError, match="'nothing' is not declared"):
            await client.delete("session", "nothing")
        await client.delete("session", "resnet50@50ms")
        await client.delete("model", "resnet50")

        process.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.process.wait(), 10) == 0
    assert await cluster.acquire_scheduler_lease("successor", 1_000_000) is not None
    await store.close()


CYCLE = """
kind: Query
name: q
slo_ms: 9
stages:
- {name: a, model: m, after: b}
- {name: b, model: m, after: a}
"""
BAD_DOCUMENTS = {
    "kind: Session\nmodel: ghost\nslo_ms: 50": "session 'ghost@50ms': model 'ghost' is not",
    "kind: Session\nmodel: m\nslo_ms: -5": "resources:3: slo_ms: -5 must be greater than 0",
    CYCLE: "query 'q' is cyclic: a, b wait for one another",
    "kind: Profile\nmodel: m\ndevice: d\nlatency_ms: [3, x]": r"latency_ms\[1\]: expected a number",
    "kind: Pod\nname: p": "kind: 'Pod' is not one of Model, Session, Query, Profile",
    "a: [": "resources:1: not YAML",
    "": "nothing to apply",
}


async def test_scheduler_refuses_bad_documents_and_goes_on(store_server: EmbeddedServer) -> None:
    async with (
        scheduler(store_server.url, "bad-input", "s0") as process,
        AsyncControlClient(process.address) as client,
    ):
        for document, message in BAD_DOCUMENTS.items():
            with pytest.raises(InvalidArgumentError, match=message):
                await client.apply(document)
        assert await client.list() == ()


async def test_scheduler_standby_takes_over_with_a_greater_fence(
    store_server: EmbeddedServer,
) -> None:
    store = RedisStore(store_server.url)
    cluster = ClusterStore(store, "failover")
    await cluster.put_session(Session(model="m", slo_us=50_000, expected_rate=1))
    async with scheduler(store_server.url, "failover", "s0") as first:
        before = await plan_newer_than(cluster, Plan())
        async with scheduler(store_server.url, "failover", "s1"):
            first.process.kill()
            await cluster.put_session(Session(model="m", slo_us=60_000, expected_rate=1))
            after = await plan_newer_than(cluster, before)
    assert after.version > before.version
    await store.close()


async def plan_newer_than(cluster: ClusterStore, old: Plan) -> Plan:
    """The first plan with a greater fence than the old one's."""
    published = cluster.subscribe_plan()
    async with asyncio.timeout(15):
        while (plan := await cluster.plan()).fence <= old.fence:
            await published.wait(500_000)
    await published.close()
    return plan
