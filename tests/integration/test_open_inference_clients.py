"""tritonclient.grpc, sync and asyncio, unmodified: it infers on real networks of a real cluster.

What only the frontend decides (splitting, sessions, refusals) is in tests/frontend.
"""

from collections.abc import Iterator
from queue import Queue
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from nexus.inference import open_inference_pb2 as pb
from nexus.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests.integration.shared_cluster import SERVED, SharedCluster, computed

pytestmark = pytest.mark.integration

RELATIVE_TOLERANCE = 1e-5
"""The cluster batches rows together, which changes the order of floating-point sums."""

STREAMED = 30


@pytest.fixture
def client(cluster: SharedCluster) -> Iterator[Any]:
    with triton.InferenceServerClient(cluster.frontend) as opened:
        yield opened


def rows(count: int, *shape: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def input_of(name: str, array: Any, client: Any = triton) -> Any:
    tensor = client.InferInput(name, list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return tensor


def assert_computed(result: Any, model: str, values: Any) -> None:
    expected = computed(model, values)
    np.testing.assert_allclose(result.as_numpy("y"), expected, rtol=RELATIVE_TOLERANCE, atol=1e-6)


def test_open_inference_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "nexus"
    assert {model for model in SERVED if client.is_model_ready(model)} == set(SERVED)
    assert not client.is_model_ready("nosuch")
    assert not client.is_model_ready("hopeless")
    metadata = client.get_model_metadata("mlp")
    assert [(i.name, i.datatype, list(i.shape)) for i in metadata.inputs] == [
        ("x", "FP32", [-1, 16])
    ]
    config = client.get_model_config("mlp").config
    assert (config.max_batch_size, list(config.input[0].dims)) == (8, [16])


@pytest.mark.parametrize("items", [1, 3, 20])
def test_open_inference_result_is_what_torch_computes(client: Any, items: int) -> None:
    values = rows(items, 16, seed=items)
    result = client.infer("mlp", [input_of("x", values)], request_id="r1")
    assert_computed(result, "mlp", values)
    response = result.get_response()
    assert (response.id, response.model_name) == ("r1", "mlp")
    assert response.parameters["nexus_session"].string_param == "mlp@5000ms"
    assert response.parameters["nexus_batch"].int64_param >= 1
    assert response.parameters["nexus_execute_us"].int64_param > 0


def test_open_inference_typed_contents_give_the_same(cluster: SharedCluster) -> None:
    values = rows(2, 16)
    request = pb.ModelInferRequest(model_name="mlp")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[2, 16])
    tensor.contents.fp32_contents.extend(values.ravel().tolist())
    with grpc.insecure_channel(cluster.frontend) as channel:
        response = GRPCInferenceServiceStub(channel).ModelInfer(request)
    result = np.frombuffer(response.raw_output_contents[0], "<f4").reshape(2, 4)
    np.testing.assert_allclose(result, computed("mlp", values), rtol=RELATIVE_TOLERANCE, atol=1e-6)


def test_open_inference_errors_have_code_and_message(client: Any) -> None:
    for model, array, status, message in (
        ("nosuch", rows(1, 16), "NOT_FOUND", "Request for unknown model: 'nosuch' is not found"),
        ("mlp", rows(1, 17), "INVALID_ARGUMENT", "'x' of model 'mlp': expected shape [-1, 16]"),
        ("hopeless", rows(1, 16), "FAILED_PRECONDITION", "'hopeless@500ms' cannot be served"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, [input_of("x", array)], request_id="r7")
        assert caught.value.status() == f"StatusCode.{status}"
        assert caught.value.message().startswith("[request id: r7] ")
        assert message in caught.value.message()


def test_open_inference_statistics_and_repository(client: Any) -> None:
    client.infer("lstm", [input_of("steps", rows(3, 5, 3))])
    (statistics,) = client.get_inference_statistics("lstm").model_stats
    assert statistics.inference_count >= 3
    assert statistics.inference_stats.success.count >= 1
    assert statistics.inference_stats.compute_infer.ns > 0
    index = {m.name: (m.state, m.reason) for m in client.get_model_repository_index().models}
    assert {name for name, (state, _) in index.items() if state == "READY"} == set(SERVED)
    assert "l(1) = 2000 ms" in index["hopeless"][1]
    client.load_model("mlp")
    with pytest.raises(InferenceServerException, match="nexus apply"):
        client.load_model("unused")
    with pytest.raises(InferenceServerException, match="nexus delete"):
        client.unload_model("mlp")


def test_open_inference_stream_answers_every_request(client: Any) -> None:
    answers: Queue[tuple[Any, Any]] = Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    sent = {f"{number}": rows(1 + number % 4, 16, seed=number) for number in range(STREAMED)}
    for request_id, values in sent.items():
        client.async_stream_infer("mlp", [input_of("x", values)], request_id=request_id)
    client.async_stream_infer("nosuch", [input_of("x", rows(1, 16))], request_id="bad")
    got = [answers.get(timeout=30) for _ in range(STREAMED + 1)]
    client.stop_stream()
    errors = [error.message() for _, error in got if error is not None]
    assert errors == ["[request id: bad] Request for unknown model: 'nosuch' is not found"]
    results = {result.get_response().id: result for result, error in got if error is None}
    assert results.keys() == sent.keys()
    for request_id, values in sent.items():
        assert_computed(results[request_id], "mlp", values)


async def test_open_inference_asyncio_client_infers_and_fails_alike(cluster: SharedCluster) -> None:
    values = rows(6, 5, 3)
    async with triton_aio.InferenceServerClient(cluster.frontend) as client:
        assert await client.is_server_ready()
        assert await client.is_model_ready("lstm")
        result = await client.infer("lstm", [input_of("steps", values, triton_aio)])
        assert_computed(result, "lstm", values)
        with pytest.raises(InferenceServerException) as caught:
            await client.infer("nosuch", [input_of("steps", values, triton_aio)])
        assert caught.value.status() == "StatusCode.NOT_FOUND"


async def test_open_inference_asyncio_client_streams(cluster: SharedCluster) -> None:
    sent = {f"{number}": rows(2, 5, 3, seed=number) for number in range(5)}

    async def requests() -> Any:
        for request_id, values in sent.items():
            inputs = [input_of("steps", values, triton_aio)]
            yield {"model_name": "lstm", "inputs": inputs, "request_id": request_id}

    results = {}
    async with triton_aio.InferenceServerClient(cluster.frontend) as client:
        async for result, error in client.stream_infer(requests()):
            assert error is None
            results[result.get_response().id] = result
    assert results.keys() == sent.keys()
    for request_id, values in sent.items():
        assert_computed(results[request_id], "lstm", values)
