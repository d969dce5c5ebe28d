"""The services end to end: queries, streams, refusals, lost backends, cancels, drain."""

import asyncio
import time
from collections.abc import Iterator
from typing import cast

import grpc
import grpc.aio
import pytest

from nexus.core.errors import UnavailableError
from nexus.core.units import us_from_s
from nexus.frontend.limits import STREAM_IN_FLIGHT_MAX
from nexus.inference import open_inference_pb2 as pb
from nexus.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from nexus.rpc.convert_query import QueryFrame, answer_from_pb, request_to_pb
from nexus.v1 import query_pb2
from nexus.v1.query_pb2_grpc import QueryServiceStub
from tests.frontend.live_frontend import JPEG, ComputingBackend, LiveFrontend

pytestmark = pytest.mark.integration


@pytest.fixture
def frontend() -> Iterator[LiveFrontend]:
    with LiveFrontend(backends=2) as live:
        yield live


def frame(number: int = 0, **changes: str | bytes | int) -> query_pb2.QueryRequest:
    fields = {"query": "street", "frame": JPEG, "frame_id": number, "request_id": str(number)}
    return request_to_pb(QueryFrame(**{**fields, **changes}))  # type: ignore[arg-type]


def addition(request_id: str = "") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="adder", id=request_id)
    for name in ("A", "B"):
        request.inputs.add(name=name, datatype="FP32", shape=[1, 3])
        request.raw_input_contents.append(b"\0" * 12)
    return request


def test_query_service_answers_every_stage(frontend: LiveFrontend) -> None:
    with grpc.insecure_channel(frontend.address) as channel:
        answer = answer_from_pb(QueryServiceStub(channel).Query(frame(7)))
    assert answer.outcome.ok
    assert (answer.request_id, answer.frame_id) == ("7", 7)
    detect, classify = answer.stages
    assert [finding.label for finding in detect.outcome.items[0].findings] == [
        "car",
        "car",
        "person",
    ]
    assert [item.findings[0].label for item in classify.outcome.items] == ["car at 10", "car at 40"]
    assert [region.x for region in classify.regions] == [10, 40]
    received = [infer for backend in frontend.backends for infer in backend.received]
    assert sorted(infer.dispatch.items for infer in received) == [1, 2]
    assert all(JPEG in infer.tensors[0].content for infer in received)


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (frame(query="nope"), grpc.StatusCode.NOT_FOUND, "there is street"),
        (frame(frame=b"GIF89a"), grpc.StatusCode.INVALID_ARGUMENT, "expected a JPEG or PNG"),
        (query_pb2.QueryRequest(query="street"), grpc.StatusCode.INVALID_ARGUMENT, "empty"),
        (frame(timeout_us=3_000), grpc.StatusCode.RESOURCE_EXHAUSTED, "are left"),
    ],
)
def test_query_service_refuses_with_status_and_words(
    frontend: LiveFrontend, request_: query_pb2.QueryRequest, code: grpc.StatusCode, words: str
) -> None:
    with (
        grpc.insecure_channel(frontend.address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        QueryServiceStub(channel).Query(request_)
    assert caught.value.code() is code
    assert words in (caught.value.details() or "")
    trailing = {entry.key for entry in caught.value.trailing_metadata() or ()}
    assert "nexus-reason" in trailing
    assert (code is grpc.StatusCode.RESOURCE_EXHAUSTED) == ("nexus-retry-after-ms" in trailing)


async def test_query_stream_answers_each_frame_and_bounds_what_is_under_way(
    frontend: LiveFrontend,
) -> None:
    for backend in frontend.backends:
        backend.held = True
    async with grpc.aio.insecure_channel(frontend.address) as channel:
        call = QueryServiceStub(channel).StreamQuery()
        for number in range(STREAM_IN_FLIGHT_MAX + 1):
            await call.write(frame(number))
        refused = answer_from_pb(cast("query_pb2.QueryResponse", await call.read()))
        assert refused.outcome.reason is not None
        assert refused.outcome.reason.value == "queue_full"
        await call.write(frame(99, frame=b"BMP"))
        call.cancel()
    frontend.wait_until(lambda: frontend.server.in_flight == 0)


async def test_query_stream_bad_frame_fails_alone(frontend: LiveFrontend) -> None:
    async with grpc.aio.insecure_channel(frontend.address) as channel:
        call = QueryServiceStub(channel).StreamQuery(
            iter([frame(1), frame(2, frame=b"BMP"), frame(3)])
        )
        found = [answer_from_pb(m) async for m in call]
    answers = {answer.frame_id: answer for answer in found}
    assert {number: answer.outcome.ok for number, answer in answers.items()} == {
        1: True,
        2: False,
        3: True,
    }


async def test_killed_backend_is_routed_around_without_a_lost_request(
    frontend: LiveFrontend,
) -> None:
    for backend in frontend.backends:
        backend.held = True
    async with grpc.aio.insecure_channel(frontend.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        calls = [asyncio.ensure_future(stub.ModelInfer(addition())) for _ in range(8)]
        first, second = frontend.backends
        await asyncio.to_thread(
            frontend.wait_until, lambda: len(first.received) + len(second.received) == 8
        )
        assert first.received
        await asyncio.to_thread(frontend.run, _kill(first))
        # What the first had is now repeated on the second.
        await asyncio.to_thread(frontend.wait_until, lambda: len(second.received) == 8)
        await asyncio.to_thread(frontend.run, _release([second]))
        answers = await asyncio.gather(*calls)
    assert all(answer.raw_output_contents for answer in answers)


async def _kill(backend: ComputingBackend) -> None:
    backend.kill()


async def test_cancelled_call_is_cancelled_at_the_backend(frontend: LiveFrontend) -> None:
    for backend in frontend.backends:
        backend.held = True
    async with grpc.aio.insecure_channel(frontend.address) as channel:
        call = GRPCInferenceServiceStub(channel).ModelInfer(addition())
        started = asyncio.ensure_future(call)
        received = [b.received for b in frontend.backends]
        await asyncio.to_thread(frontend.wait_until, lambda: any(received))
        call.cancel()
        cancelled = [b.cancelled for b in frontend.backends]
        await asyncio.to_thread(frontend.wait_until, lambda: any(cancelled))
        with pytest.raises(asyncio.CancelledError):
            await started
    assert frontend.server.in_flight == 0


async def test_unanswered_call_ends_at_its_deadline(frontend: LiveFrontend) -> None:
    for backend in frontend.backends:
        backend.held = True
    request = addition()
    request.parameters["timeout"].int64_param = 100_000
    began = time.monotonic()
    async with grpc.aio.insecure_channel(frontend.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert us_from_s(time.monotonic() - began) >= 100_000


async def test_drain_finishes_what_is_under_way_and_refuses_the_rest(
    frontend: LiveFrontend,
) -> None:
    for backend in frontend.backends:
        backend.held = True
    async with grpc.aio.insecure_channel(frontend.address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        held = asyncio.ensure_future(stub.ModelInfer(addition()))
        received = [b.received for b in frontend.backends]
        await asyncio.to_thread(frontend.wait_until, lambda: any(received))
        drained = frontend.begin(frontend.server.drain())
        await asyncio.to_thread(frontend.wait_until, lambda: not frontend.server.serving)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ModelInfer(addition())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(caught.value.trailing_metadata() or ())["nexus-reason"] == "draining"
        assert not (await stub.ServerReady(pb.ServerReadyRequest())).ready
        assert not drained.done()
        await asyncio.to_thread(frontend.run, _release(frontend.backends))
        assert (await held).raw_output_contents
        await asyncio.wrap_future(drained)


async def _release(backends: list[ComputingBackend]) -> None:
    for backend in backends:
        backend.release()


async def test_store_outage_leaves_the_last_table_in_use(frontend: LiveFrontend) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise UnavailableError("the store is away")

    frontend.store.get = fail  # type: ignore[method-assign]
    frontend.store.put = fail  # type: ignore[method-assign]
    frontend.store.scan = fail  # type: ignore[assignment,method-assign]
    frontend.wait_until(lambda: not frontend.server.store_up)
    async with grpc.aio.insecure_channel(frontend.address) as channel:
        answer = await GRPCInferenceServiceStub(channel).ModelInfer(addition("r"))
    assert answer.id == "r"


def test_report_counts_what_was_offered(frontend: LiveFrontend) -> None:
    with grpc.insecure_channel(frontend.address) as channel:
        GRPCInferenceServiceStub(channel).ModelInfer(addition())
        QueryServiceStub(channel).Query(frame())

    async def report() -> bool:
        (found,) = await frontend.cluster.frontends()
        return (
            found.arrivals.get("adder@5000ms") == 1
            and found.arrivals.get("street") == 1
            and found.stages["street/classify"].calls == 2
            and found.table_version == frontend.table_version
        )

    for _ in range(30):
        if frontend.run(report()):
            return
        time.sleep(0.1)
    raise AssertionError(frontend.run(frontend.cluster.frontends()))
