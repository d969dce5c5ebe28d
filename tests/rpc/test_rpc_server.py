"""The server every component uses: health, reflection, limits and errors, over real gRPC."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nexus.core.errors import (
    FailedPreconditionError,
    InternalError,
    MessageTooLargeError,
    NexusError,
    NotFoundError,
    RefusedError,
    UnimplementedError,
)
from nexus.rpc import health
from nexus.rpc.limits import channel_options
from nexus.rpc.server import RpcServer, ServerLimits
from nexus.rpc.status import error_from_rpc
from nexus.v1 import query_pb2, query_pb2_grpc

pytestmark = pytest.mark.integration

QUERY = "nexus.v1.QueryService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Parrot(query_pb2_grpc.QueryServiceServicer):
    """Does what the query's name says."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def Query(  # noqa: N802 - the RPC's name
        self, request: query_pb2.QueryRequest, _context: object
    ) -> query_pb2.QueryResponse:
        match request.query:
            case "unknown":
                raise NotFoundError("query 'unknown' is not declared", reason="unknown_query")
            case "defect":
                raise ZeroDivisionError("secret")
            case "wait":
                await self.release.wait()
        return query_pb2.QueryResponse(request_id=request.request_id)

    async def StreamQuery(  # noqa: N802 - the RPC's name
        self, request_iterator: AsyncIterator[query_pb2.QueryRequest], _context: object
    ) -> AsyncIterator[query_pb2.QueryResponse]:
        async for request in request_iterator:
            if request.query == "defect":
                raise ZeroDivisionError("secret")
            yield query_pb2.QueryResponse(request_id=request.request_id)


class Running:
    """A server with a Parrot, and a channel to it."""

    def __init__(self, server: RpcServer, parrot: Parrot, channel: grpc.aio.Channel) -> None:
        self.server = server
        self.parrot = parrot
        self.channel = channel
        self.queries = query_pb2_grpc.QueryServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)

    async def ask(self, query: str, frame: bytes = b"") -> query_pb2.QueryResponse:
        request = query_pb2.QueryRequest(query=query, request_id="7", frame=frame)
        return await self.queries.Query(request, timeout=20)

    async def fail(self, query: str, frame: bytes = b"") -> NexusError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(query, frame)
        return error_from_rpc(caught.value)

    async def check(self, service: str) -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        response: health_pb2.HealthCheckResponse = await self.health.Check(request, timeout=20)
        return int(response.status)


LIMITS = ServerLimits(message_bytes=1_000_000, calls=2)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    server = RpcServer(LIMITS)
    parrot = Parrot()
    server.add(query_pb2_grpc.add_QueryServiceServicer_to_server, parrot, QUERY)
    address = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address, options=channel_options()) as channel:
        yield Running(server, parrot, channel)
        parrot.release.set()
        await server.stop(1)


async def test_server_answers(running: Running) -> None:
    assert (await running.ask("anything")).request_id == "7"


async def test_server_turns_a_nexus_error_into_its_status(running: Running) -> None:
    error = await running.fail("unknown")
    assert type(error) is NotFoundError
    assert (error.message, error.reason) == ("query 'unknown' is not declared", "unknown_query")


async def test_server_errors_read_alike_by_a_sync_client(running: Running) -> None:
    def ask() -> NexusError:
        with grpc.insecure_channel(running.server.address, options=channel_options()) as channel:
            stub = query_pb2_grpc.QueryServiceStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Query(query_pb2.QueryRequest(query="unknown"), timeout=20)
            return error_from_rpc(caught.value)

    error = await asyncio.to_thread(ask)
    assert type(error) is NotFoundError
    assert (error.message, error.reason) == ("query 'unknown' is not declared", "unknown_query")


async def test_server_hides_a_defect_from_the_caller_and_goes_on(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    error = await running.fail("defect")
    assert type(error) is InternalError
    assert "secret" not in error.message
    assert "/nexus.v1.QueryService/Query" in error.message
    assert "ZeroDivisionError: secret" in caplog.text
    assert (await running.ask("anything")).request_id == "7"


async def test_server_hides_a_defect_of_a_stream(running: Running) -> None:
    call = running.queries.StreamQuery()
    await call.write(query_pb2.QueryRequest(request_id="1"))
    first = await call.read()
    assert isinstance(first, query_pb2.QueryResponse)
    assert first.request_id == "1"
    await call.write(query_pb2.QueryRequest(query="defect"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert type(error_from_rpc(caught.value)) is InternalError


async def test_server_says_which_call_it_does_not_know(running: Running) -> None:
    stray: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = running.channel.unary_unary(
        "/nexus.v1.QueryService/Guess"
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stray(b"", timeout=20)
    assert type(error_from_rpc(caught.value)) is UnimplementedError


async def test_server_refuses_a_message_over_its_limit(running: Running) -> None:
    assert (await running.ask("x", bytes(900_000))).request_id == "7"
    error = await running.fail("x", bytes(1_100_000))
    assert type(error) is MessageTooLargeError
    assert (await running.ask("anything")).request_id == "7"


async def test_server_bounds_the_calls_that_are_open(running: Running) -> None:
    waiting = [asyncio.create_task(running.ask("wait")) for _ in range(LIMITS.calls)]
    while running.server.open_calls < LIMITS.calls:  # noqa: ASYNC110 - they are on the wire
        await asyncio.sleep(0.005)
    error = await running.fail("anything")
    assert type(error) is RefusedError
    assert error.reason == "queue_full"
    running.parrot.release.set()
    await asyncio.gather(*waiting)
    assert (await running.ask("anything")).request_id == "7"


async def test_server_cannot_listen_twice_on_one_port(running: Running) -> None:
    second = RpcServer()
    with pytest.raises(FailedPreconditionError, match="cannot listen on 127"):
        await second.start(running.server.address)
    await second.stop(0)


async def test_health_check_follows_each_service(running: Running) -> None:
    assert await running.check(QUERY) == NOT_SERVING
    running.server.health.set(QUERY, serving=True)
    assert await running.check(QUERY) == SERVING
    assert await running.check("") == NOT_SERVING


async def test_health_check_of_an_unknown_service_is_not_found(running: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.check("zzz")
    error = error_from_rpc(caught.value)
    assert type(error) is NotFoundError
    assert "'zzz' is not one of '', 'alive', 'nexus.v1.QueryService'" in error.message


async def test_health_list_has_every_service(running: Running) -> None:
    running.server.health.set("", serving=True)
    response = await running.health.List(health_pb2.HealthListRequest(), timeout=20)
    statuses = {service: entry.status for service, entry in response.statuses.items()}
    assert statuses == {"": SERVING, health.ALIVE: SERVING, QUERY: NOT_SERVING}


async def test_health_watch_of_an_unknown_service_waits_for_it(running: Running) -> None:
    watch = running.health.Watch(health_pb2.HealthCheckRequest(service="late"), timeout=20)
    assert (await watch.read()).status == SERVICE_UNKNOWN
    running.server.health.set("late", serving=True)
    assert (await watch.read()).status == SERVING


async def test_health_watch_ends_when_the_server_stops(running: Running) -> None:
    running.server.health.set(QUERY, serving=True)
    watch = running.health.Watch(health_pb2.HealthCheckRequest(service=QUERY), timeout=20)
    assert (await watch.read()).status == SERVING
    stopping = asyncio.create_task(running.server.stop(15))
    assert (await watch.read()).status == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    await asyncio.wait_for(stopping, 5)


async def test_server_stop_lets_open_calls_end(running: Running) -> None:
    waiting = asyncio.create_task(running.ask("wait"))
    while running.server.open_calls == 0:  # noqa: ASYNC110 - it is on the wire
        await asyncio.sleep(0.005)
    stopping = asyncio.create_task(running.server.stop(15))
    await asyncio.sleep(0)
    running.parrot.release.set()
    assert (await waiting).request_id == "7"
    await stopping
    await running.server.wait()


async def reflect(
    running: Running, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    call = stub.ServerReflectionInfo(timeout=20)
    await call.write(request)
    response = await call.read()
    assert isinstance(response, reflection_pb2.ServerReflectionResponse)
    await call.done_writing()
    return response


async def test_reflection_lists_the_services(running: Running) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    response = await reflect(running, request)
    names = [service.name for service in response.list_services_response.service]
    assert names == [
        health.SERVICE_NAME,
        "grpc.reflection.v1alpha.ServerReflection",
        QUERY,
    ]


@pytest.mark.parametrize("symbol", [QUERY, health.SERVICE_NAME])
async def test_reflection_describes_a_service_from_the_private_pool(
    running: Running, symbol: str
) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    files = (await reflect(running, request)).file_descriptor_response.file_descriptor_proto
    assert any(symbol.rpartition(".")[2].encode() in file for file in files)


async def test_watchers_are_bounded(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    monkeypatch.setattr(health, "WATCHERS_MAX", 1)
    request = health_pb2.HealthCheckRequest(service="")
    first = running.health.Watch(request, timeout=20)
    await first.read()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.health.Watch(request, timeout=20).read()
    assert error_from_rpc(caught.value).reason == "queue_full"
    first.cancel()
