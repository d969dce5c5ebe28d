"""A backend as it is deployed: a process of its own, a real store, real frames."""

import asyncio
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nexus.core.cluster import BackendState
from nexus.core.model import EngineKind, Model
from nexus.core.plan import Placement
from nexus.core.request import Dispatch, DropReason
from nexus.core.tensor import DataType, Tensor, TensorSpec
from nexus.rpc.convert_control import status_from_pb
from nexus.rpc.frames import Cancel, Watch
from nexus.store import Store, open_store
from nexus.store.cluster import ClusterStore
from nexus.store.embedded import start_embedded
from nexus.v1 import backend_pb2, backend_pb2_grpc
from tests.backend.backend_process import (
    backend_process,
    caller,
    emulated_model,
    profile_of,
    publish,
    status_when,
    until_gone,
)

pytestmark = pytest.mark.integration

SESSION = "toy@200ms"
IMAGE = Tensor("image", DataType.UINT8, (1, 3), b"abc")


def placement(session: str = SESSION, model: str = "toy") -> Placement:
    return Placement(
        session=session, model=model, slo_us=200_000, batch=4, rate=10.0, latency_us=40_000
    )


def dispatch(number: int, items: int = 1, session: str = SESSION) -> Dispatch:
    return Dispatch(id=number, session=session, deadline_us=0, items=items)


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    opened = open_store(redis_url)
    yield opened
    await opened.close()


async def declare(store: Store, cluster: str, latency_ms: float) -> ClusterStore:
    declared = ClusterStore(store, cluster)
    await declared.put_model(emulated_model())
    await declared.put_profile(profile_of("toy", "v100", latency_ms))
    return declared


async def test_backend_process_serves_what_the_plan_places(redis_url: str, store: Store) -> None:
    cluster = await declare(store, "serves", 20.0)
    async with backend_process(redis_url, "serves", "--device", "emulated:v100") as backend:
        await publish(cluster, 1, placement())
        status = await status_when(cluster, loaded=(SESSION,), version=1)
        assert status.address == backend.ready["data"]
        assert status.state is BackendState.SERVING
        async with caller(status.address) as frontend:
            began_s = time.monotonic()
            for number in range(1, 5):
                frontend.send(dispatch(number), IMAGE)
            outcomes = [await frontend.outcome(number) for number in range(1, 5)]
            took_s = time.monotonic() - began_s
            assert all(outcome.ok for outcome in outcomes)
            assert outcomes[0].tensors[0].shape == (1, 4)
            # The first runs alone at once; the three that came meanwhile share a batch.
            assert [outcome.batch for outcome in outcomes] == [1, 3, 3, 3]
            assert 0.035 <= took_s < 1.0
            frontend.send(dispatch(5, session="other@1ms"))
            assert (await frontend.outcome(5)).reason is DropReason.NO_ROUTE
            frontend.send(dispatch(6), IMAGE, budget_us=1_000)
            assert (await frontend.outcome(6)).reason is DropReason.DEADLINE
            frontend.send(dispatch(7, items=9), IMAGE)
            assert (await frontend.outcome(7)).reason is DropReason.INVALID
        page = await asyncio.to_thread(_metrics, backend.ready["metrics"])
        assert f'nexus_backend_batches_total{{session="{SESSION}"}} 2.0' in page


def _metrics(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics") as answer:
        return bytes(answer.read()).decode()


async def test_backend_process_defers_pooled_batches_and_tells_who_watches(
    redis_url: str, store: Store
) -> None:
    cluster = await declare(store, "defers", 20.0)
    async with backend_process(redis_url, "defers", "--device", "emulated:v100", "--reply-ms=10"):
        await publish(cluster, 1, replace(placement(), pool="p0"))
        status = await status_when(cluster, loaded=(SESSION,), version=1)
        async with caller(status.address) as frontend:
            assert frontend.connection is not None
            frontend.connection.send(Watch())
            for number in range(1, 5):
                frontend.send(dispatch(number), IMAGE)
            full = [await frontend.outcome(number) for number in range(1, 5)]
            assert [outcome.batch for outcome in full] == [4, 4, 4, 4]
            frontend.send(dispatch(5), IMAGE, budget_us=300_000)
            alone = await frontend.outcome(5)
            # It starts 20 ms, the way back, and a little before its deadline.
            assert 150_000 <= alone.queue_us <= 270_000
            assert frontend.together == [4]
            assert [(s.session, s.items, s.queued_items) for s in frontend.started] == [
                (SESSION, 4, 0),
                (SESSION, 1, 0),
            ]
            assert frontend.started[0].busy_us == 20_000


async def test_backend_process_lets_dispatches_join_between_chunks(
    redis_url: str, store: Store
) -> None:
    cluster = ClusterStore(store, "chunks")
    await cluster.put_model(emulated_model("toy", emulated_chunk_ms="20"))
    await cluster.put_profile(profile_of("toy", "v100", 400.0))
    async with backend_process(redis_url, "chunks", "--device", "emulated:v100"):
        await publish(cluster, 1, placement())
        status = await status_when(cluster, loaded=(SESSION,), version=1)
        async with caller(status.address) as frontend:
            assert frontend.connection is not None
            frontend.connection.send(Watch())
            frontend.send(dispatch(1), IMAGE, budget_us=3_000_000)
            await asyncio.sleep(0.05)
            frontend.send(dispatch(2), IMAGE, budget_us=3_000_000)
            first, second = await frontend.outcome(1), await frontend.outcome(2)
            assert first.ok
            assert second.ok
            # As a whole, the first would keep the device for 350 ms more.
            assert second.queue_us < 250_000
            assert min(first.execute_us, second.execute_us) >= 390_000
            assert len(frontend.started) >= 20
            assert sum(started.items for started in frontend.started) == 2
            assert max(started.busy_us for started in frontend.started) == 20_000


async def test_backend_process_batches_the_members_of_a_group(redis_url: str, store: Store) -> None:
    """Two models of a prefix group: one batch, that takes what the group's profile says."""
    cluster = ClusterStore(store, "groups")
    for model in ("cars", "faces"):
        await cluster.put_model(emulated_model(model))
        await cluster.put_profile(profile_of(model, "v100", 150.0))
    await cluster.put_profile(profile_of("street", "v100", 40.0))
    placements = [
        replace(placement(f"{model}@1s", model), group="street", pool="p0")
        for model in ("cars", "faces")
    ]
    async with backend_process(redis_url, "groups", "--device", "emulated:v100"):
        await publish(cluster, 1, *placements)
        status = await status_when(cluster, loaded=("cars@1s", "faces@1s"), version=1)
        async with caller(status.address) as frontend:
            for number in range(1, 5):
                session = ("cars@1s", "faces@1s")[number % 2]
                frontend.send(dispatch(number, session=session), IMAGE)
            outcomes = [await frontend.outcome(number) for number in range(1, 5)]
            assert [outcome.batch for outcome in outcomes] == [4, 4, 4, 4]
            assert all(outcome.tensors[0].shape == (1, 4) for outcome in outcomes)
            assert all(40_000 <= outcome.execute_us < 140_000 for outcome in outcomes)


async def test_backend_process_cancels_and_survives_lost_callers(
    redis_url: str, store: Store
) -> None:
    cluster = await declare(store, "cancels", 150.0)
    async with backend_process(redis_url, "cancels", "--device", "emulated:v100"):
        await publish(cluster, 1, placement())
        status = await status_when(cluster, loaded=(SESSION,), version=1)
        async with caller(status.address) as gone:
            gone.send(dispatch(1), IMAGE)
            gone.send(dispatch(2), IMAGE)
        async with caller(status.address) as frontend:
            frontend.send(dispatch(1), IMAGE)
            frontend.send(dispatch(2), IMAGE)
            assert frontend.connection is not None
            frontend.connection.send(Cancel(2))
            assert (await frontend.outcome(2)).reason is DropReason.CANCELLED
            assert (await frontend.outcome(1)).batch == 1


async def test_backend_process_drains_on_sigterm(redis_url: str, store: Store) -> None:
    cluster = await declare(store, "drains", 150.0)
    async with backend_process(redis_url, "drains", "--device", "emulated:v100") as backend:
        await publish(cluster, 1, placement())
        status = await status_when(cluster, loaded=(SESSION,), version=1)
        async with caller(status.address) as frontend:
            for number in (1, 2, 3):
                frontend.send(dispatch(number), IMAGE)
            await asyncio.sleep(0.05)
            backend.process.send_signal(signal.SIGTERM)
            await frontend.goodbye.wait()
            frontend.send(dispatch(4), IMAGE)
            assert (await frontend.outcome(4)).reason is DropReason.DRAINING
            assert all([(await frontend.outcome(number)).ok for number in (1, 2, 3)])
            assert await backend.stop() == 0
        assert await cluster.backends() == ()


async def test_backend_process_control_service_and_health(redis_url: str, store: Store) -> None:
    cluster = await declare(store, "control", 20.0)
    async with backend_process(redis_url, "control", "--device", "emulated:v100") as backend:
        await publish(cluster, 1, placement())
        await status_when(cluster, loaded=(SESSION,), version=1)
        async with grpc.aio.insecure_channel(backend.ready["grpc"]) as channel:
            control = backend_pb2_grpc.BackendServiceStub(channel)
            health = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service="nexus.v1.BackendService")
            assert (await health.Check(asked)).status == 1
            answer = await control.GetStatus(backend_pb2.GetStatusRequest())
            assert status_from_pb(answer).loaded == (SESSION,)
            await control.Drain(backend_pb2.DrainRequest())
            answer = await control.GetStatus(backend_pb2.GetStatusRequest())
            assert status_from_pb(answer).state is BackendState.DRAINING
            assert (await health.Check(asked)).status == 2


async def test_backend_process_changes_plans_without_losing_work(
    redis_url: str, store: Store
) -> None:
    cluster = await declare(store, "changes", 60.0)
    await cluster.put_model(emulated_model("late"))
    async with backend_process(redis_url, "changes", "--device", "emulated:v100"):
        await publish(cluster, 1, placement(), placement("late@200ms", "late"))
        status = await status_when(cluster, loaded=(SESSION,), version=1)
        assert "no profile" in status.failed["late@200ms"]
        async with caller(status.address) as frontend:
            frontend.send(dispatch(1), IMAGE)
            frontend.send(dispatch(2), IMAGE)
            # The profile's arrival alone lets it load; then the first session leaves.
            await cluster.put_profile(profile_of("late", "v100", 5.0))
            await status_when(cluster, loaded=("late@200ms", SESSION), version=1)
            await publish(cluster, 2, placement("late@200ms", "late"))
            await status_when(cluster, loaded=("late@200ms",), version=2)
            assert (await frontend.outcome(1)).ok
            assert (await frontend.outcome(2)).ok
            frontend.send(dispatch(3), IMAGE)
            assert (await frontend.outcome(3)).reason is DropReason.NO_ROUTE


async def test_backend_process_refuses_bad_flags_and_taken_ports(redis_url: str) -> None:
    async with backend_process(redis_url, "flags", "--device", "emulated:v100") as backend:
        taken = f"--data-listen={backend.ready['data']}"
        for flag, status, message in (
            ("--device=gpu", 2, "not understood"),
            ("--listen=nowhere", 2, "HOST:PORT"),
            (taken, 1, "cannot listen"),
        ):
            assert await _exit(redis_url, flag) == (status, message)


async def _exit(redis_url: str, flag: str) -> tuple[int | None, str]:
    ports = ("--listen=127.0.0.1:0", "--data-listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nexus.backend", "--store", redis_url, *ports),
        *("--device=emulated:v100", flag),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 15)
    last = errors.decode().strip().splitlines()[-1]
    for message in ("not understood", "HOST:PORT", "cannot listen"):
        if message in last:
            return process.returncode, message
    return process.returncode, last


async def test_backend_process_serves_on_without_its_store() -> None:
    with start_embedded() as server:
        opened = open_store(server.url)
        cluster = await declare(opened, "outage", 5.0)
        async with backend_process(server.url, "outage", "--device", "emulated:v100") as backend:
            await publish(cluster, 1, placement())
            status = await status_when(cluster, loaded=(SESSION,), version=1)
            await opened.close()
            server.stop()
            async with caller(status.address) as frontend:
                for number in range(1, 20):
                    frontend.send(dispatch(number), IMAGE)
                    assert (await frontend.outcome(number)).ok
                    await asyncio.sleep(0.1)
            assert await backend.stop() == 0


async def test_backend_process_killed_is_forgotten_by_the_store(
    redis_url: str, store: Store
) -> None:
    cluster = await declare(store, "killed", 5.0)
    async with backend_process(redis_url, "killed", "--device", "emulated:v100") as backend:
        await publish(cluster, 1, placement())
        status = await status_when(cluster, loaded=(SESSION,), version=1)
        async with caller(status.address) as frontend:
            assert frontend.connection is not None
            assert await backend.stop(signal.SIGKILL) == -signal.SIGKILL
            await asyncio.wait_for(frontend.connection.closed(), 5)
        left = await until_gone(cluster)
        assert left == ()


async def test_backend_process_executes_a_torch_model(redis_url: str, store: Store) -> None:
    cluster = ClusterStore(store, "torch")
    await cluster.put_model(
        Model(
            name="mlp",
            engine=EngineKind.TORCH,
            network="mlp",
            inputs=(TensorSpec("x", DataType.FP32, (-1, 16)),),
            outputs=(TensorSpec("y", DataType.FP32, (-1, 4)),),
        )
    )
    await cluster.put_profile(profile_of("mlp", "cpu", 2.0))
    async with backend_process(redis_url, "torch", "--device", "cpu", "--threads", "1"):
        await publish(cluster, 1, placement("mlp@200ms", "mlp"))
        status = await status_when(cluster, loaded=("mlp@200ms",), version=1)
        async with caller(status.address) as frontend:
            good = Tensor("x", DataType.FP32, (2, 16), bytes(2 * 16 * 4))
            frontend.send(dispatch(1, items=2, session="mlp@200ms"), good)
            frontend.send(dispatch(2, items=3, session="mlp@200ms"), good)
            answered, refused = await frontend.outcome(1), await frontend.outcome(2)
            assert answered.ok, answered
            assert answered.tensors[0].shape == (2, 4)
            assert refused.reason is DropReason.INVALID
            assert "2 items, the dispatch says 3" in refused.message
