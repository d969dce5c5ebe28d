"""Both clients, the same calls: requests, results, errors, deadlines, retries."""

import asyncio
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nexus.client import AsyncClient, AsyncControlClient, Client, ControlClient, RetryPolicy
from nexus.core.errors import (
    DeadlineError,
    FailedPreconditionError,
    InvalidArgumentError,
    MessageTooLargeError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from nexus.core.model import EngineKind, Model
from tests.client.fake_servers import Fake, echo, serve


async def test_infer_sends_tensors_parameters_and_deadline(fake: Fake) -> None:
    async with AsyncClient(fake.address) as client:
        result = await client.infer(
            "resnet", {"x": np.ones((2, 3), np.float32)}, slo_ms=50, session="s", timeout_s=9
        )
    request, left_s = fake.seen[0]
    assert request.model_name == "resnet"
    assert 8 < left_s < 9.3
    assert (result.model, result.version) == ("resnet", "7")
    assert result.parameters == {"slo_ms": 50.0, "session": "s"}
    np.testing.assert_array_equal(result.array("x"), np.ones((2, 3), np.float32))
    assert result.values("x") == [1.0] * 6
    assert 0 < result.round_trip_us < 9_000_000
    with pytest.raises(NotFoundError, match="no output 'y'; it gave x"):
        result.tensor("y")


async def test_call_without_timeout_still_has_a_deadline(fake: Fake) -> None:
    async with AsyncClient(fake.address) as client:
        await client.infer("m", {"x": [1]})
    assert 0 < fake.seen[0][1] < 31


def test_blocking_client_does_the_same(fake_in_thread: Fake) -> None:
    with Client(fake_in_thread.address) as client:
        result = client.infer("resnet", {"x": [1, 2]}, slo_ms=50, timeout_s=9)
        assert result.values("x") == [1, 2]
        assert result.parameters == {"slo_ms": 50.0}
        assert client.query("traffic", b"jpeg").findings("detect")[0].label == "car"
        assert client.ready()
        assert client.ready("warm")
        assert not client.ready("cold")
        assert [(m.name, m.ready, m.reason) for m in client.models()] == [
            ("warm", True, ""),
            ("cold", False, "no backend"),
        ]
    assert 8 < fake_in_thread.seen[0][1] < 9.3


async def test_query_gives_stages_findings_and_timing(fake: Fake) -> None:
    async with AsyncClient(fake.address) as client:
        result = await client.query("traffic", b"jpeg", frame_id=4, stream_id="cam", timeout_s=1)
    request, left_s = fake.seen[0]
    assert (request.query, request.frame, request.frame_id) == ("traffic", b"jpeg", 4)
    assert request.stream_id == "cam"
    assert left_s < 1.05
    stage = result.stage("detect")
    assert stage is not None
    assert (stage.budget_us, stage.latency_us, stage.outcome.batch) == (1000, 400, 2)
    assert (result.latency_us, result.frame_id, result.ok) == (500, 4, True)
    assert result.stage("absent") is None
    assert result.findings("absent") == ()


async def test_refusal_carries_reason_wait_and_retry_after(fake: Fake) -> None:
    async def refuse(_: Any) -> Any:
        raise RefusedError(
            "no room",
            reason="overloaded",
            details={"expected_wait_ms": "80", "retry_after_ms": "9"},
        )

    fake.on_infer = refuse
    async with AsyncClient(fake.address) as client:
        with pytest.raises(RefusedError, match="no room") as caught:
            await client.infer("m", {"x": [1]})
    assert caught.value.reason == "overloaded"
    assert caught.value.details == {"expected_wait_ms": "80", "retry_after_ms": "9"}
    assert len(fake.seen) == 1, "a refusal by load is never retried"


async def test_deadline_ends_the_call_here_and_on_the_server(fake: Fake) -> None:
    async def hang(_: Any) -> Any:
        await asyncio.sleep(60)

    fake.on_infer = hang
    async with AsyncClient(fake.address) as client:
        with pytest.raises(DeadlineError):
            await client.infer("m", {"x": [1]}, timeout_s=0.2)
        async with asyncio.timeout(5):
            while not fake.cancelled:  # noqa: ASYNC110 - the server notices by itself
                await asyncio.sleep(0.01)
    assert len(fake.seen) == 1, "a missed deadline is never retried"


@pytest.mark.parametrize("reason", ["no_route", "draining"])
async def test_call_that_was_not_accepted_is_retried(fake: Fake, reason: str) -> None:
    async def away_twice(request: Any) -> Any:
        if len(fake.seen) < 3:
            raise UnavailableError("not yet", reason=reason)
        return await echo(request)

    fake.on_infer = away_twice
    # gRPC says how much time is left to within 3 %, so the waits must be longer than that.
    slow = RetryPolicy(wait_first_us=400_000)
    async with AsyncClient(fake.address, retry=slow) as client:
        result = await client.infer("m", {"x": [1]}, timeout_s=5)
    assert result.values("x") == [1]
    lefts = [left_s for _, left_s in fake.seen]
    assert lefts == sorted(lefts, reverse=True), "one deadline holds for all attempts"
    assert len(lefts) == 3


async def test_lost_backend_is_not_retried(fake: Fake) -> None:
    async def lose(_: Any) -> Any:
        raise UnavailableError("died with it", reason="backend_lost")

    fake.on_infer = lose
    async with AsyncClient(fake.address) as client:
        with pytest.raises(UnavailableError, match="died with it"):
            await client.infer("m", {"x": [1]})
    assert len(fake.seen) == 1


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_second_frontend_takes_over_when_the_first_is_away(fake: Fake) -> None:
    async with AsyncClient([_free_address(), fake.address]) as client:
        for _ in range(4):
            assert (await client.infer("m", {"x": [1]})).values("x") == [1]
    assert len(fake.seen) == 4


async def test_nobody_there_is_unavailable_with_its_own_reason() -> None:
    async with AsyncClient(_free_address(), retry=RetryPolicy(attempts_max=2)) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.ready(timeout_s=5)
    assert caught.value.reason == "not_connected"


async def test_server_that_starts_late_is_waited_for() -> None:
    address = _free_address()
    late = Fake()
    async with AsyncClient(address, retry=RetryPolicy(attempts_max=50)) as client:
        call = asyncio.create_task(client.infer("m", {"x": [1]}, timeout_s=20))
        await asyncio.sleep(0.2)
        server = await serve(late, address)
        assert (await call).values("x") == [1]
        await server.stop(0)


async def test_connections_spread_the_calls(fake: Fake) -> None:
    async with AsyncClient(fake.address, connections=3) as client:
        assert len(client._transport._ring.channels) == 3
        for _ in range(6):
            await client.ready()


async def test_message_over_the_limit_is_refused_before_it_is_sent(fake: Fake) -> None:
    async with AsyncClient(fake.address, message_bytes_max=1000) as client:
        with pytest.raises(MessageTooLargeError):
            await client.infer("m", {"x": b"x" * 2000})
    assert fake.seen == []


@pytest.mark.parametrize(
    "arguments",
    [{"addresses": []}, {"addresses": "nowhere"}, {"addresses": "h:1", "connections": 0}],
)
def test_client_refuses_malformed_settings(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        Client(**arguments)


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
async def test_call_refuses_a_timeout_that_is_none(fake: Fake, timeout_s: float) -> None:
    async with AsyncClient(fake.address) as client:
        with pytest.raises(InvalidArgumentError, match="timeout_s"):
            await client.ready(timeout_s=timeout_s)


def test_closed_client_says_so(fake_in_thread: Fake) -> None:
    client = Client(fake_in_thread.address)
    client.close()
    with pytest.raises(FailedPreconditionError, match="closed"):
        client.ready()


async def test_control_client_declares_and_looks(fake: Fake) -> None:
    model = Model(name="m", engine=EngineKind.EMULATED)
    async with AsyncControlClient(fake.address) as control:
        (applied,) = await control.apply("kind: model", [model], dry_run=True)
        assert (applied.kind, applied.name, applied.change) == ("model", "m", "created")
        assert await control.list() == (model,)
        description = await control.describe("model", "m")
        assert description.facts == {"routes": []}
        assert description.resource["name"] == "m"
        await control.delete("model", "m")
    request, _ = fake.seen[0]
    assert (request.yaml, request.dry_run, len(request.resources)) == ("kind: model", True, 1)


def test_blocking_control_client_does_the_same(fake_in_thread: Fake) -> None:
    with ControlClient(fake_in_thread.address) as control:
        assert control.apply("kind: model")[0].change == "created"
        assert control.list("model") == (Model(name="m", engine=EngineKind.EMULATED),)


def test_client_import_is_light() -> None:
    program = "import sys, nexus.client; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    ).stdout.split()
    heavy = {"torch", "redis", "kubernetes", "numpy", "PIL", "prometheus_client", "yaml"}
    assert heavy.isdisjoint(loaded)
