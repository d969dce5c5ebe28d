"""What the frontend decides for tritonclient.grpc: splitting, sessions, refusals, streams.

A real frontend server before a backend whose frames the test sees and whose answers it chooses.
The protocol as a whole, on a real cluster: tests/integration/test_open_inference_clients.py.
"""

from collections.abc import Iterator
from queue import Queue
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.frontend.live_frontend import JPEG, LiveFrontend

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def frontend() -> Iterator[LiveFrontend]:
    with LiveFrontend() as live:
        yield live


@pytest.fixture
def client(frontend: LiveFrontend) -> Iterator[Any]:
    with triton.InferenceServerClient(frontend.address) as opened:
        yield opened


def inputs_of(a: Any, b: Any) -> list[Any]:
    inputs = []
    for name, array in (("A", a), ("B", b)):
        tensor = triton.InferInput(name, list(array.shape), "FP32")
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def arrays(rows: int) -> tuple[Any, Any]:
    a = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    return a, np.full((rows, 3), 0.5, np.float32)


def test_tritonclient_gets_only_the_outputs_it_asks_for(client: Any) -> None:
    a, b = arrays(1)
    result = client.infer(
        "adder", inputs_of(a, b), outputs=[triton.InferRequestedOutput("DIFFERENCE")]
    )
    assert result.as_numpy("SUM") is None
    np.testing.assert_array_equal(result.as_numpy("DIFFERENCE"), a - b)


def test_tritonclient_batch_beyond_the_models_is_split_and_joined_in_order(
    client: Any, frontend: LiveFrontend
) -> None:
    frontend.backends[0].received.clear()
    a, b = arrays(10)
    result = client.infer("adder", inputs_of(a, b))
    np.testing.assert_array_equal(result.as_numpy("SUM"), a + b)
    sent = [infer.dispatch.items for infer in frontend.backends[0].received]
    assert sent == [4, 4, 2]


def test_tritonclient_bytes_are_split_by_element(client: Any) -> None:
    words = np.array([[b"a"], [b"bcd"], [b""], [b"\xff\xd8x"], [b"e"]], dtype=np.object_)
    tensor = triton.InferInput("TEXT", [5, 1], "BYTES")
    tensor.set_data_from_numpy(words)
    result = client.infer("upper", [tensor])
    assert [w[0] for w in result.as_numpy("TEXT")] == [b"A", b"BCD", b"", b"\xff\xd8X", b"E"]


def test_tritonclient_findings_come_as_tensors(client: Any) -> None:
    tensor = triton.InferInput("image", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([JPEG, JPEG], dtype=np.object_))
    result = client.infer("looker", [tensor])
    assert result.as_numpy("labels").tolist() == [[b"car", b"car", b"person"]] * 2
    np.testing.assert_allclose(result.as_numpy("scores")[0], [0.9, 0.8, 0.5], rtol=1e-6)
    assert result.as_numpy("boxes").shape == (2, 3, 4)
    assert result.as_numpy("boxes")[1, 1].tolist() == [40, 10, 20, 20]


def _failure(client: Any, model: str, inputs: list[Any], **options: Any) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, inputs, **options)
    return caught.value.status(), caught.value.message()


def test_tritonclient_errors_name_the_offender(client: Any) -> None:
    a, b = arrays(1)
    assert _failure(client, "zzz", inputs_of(a, b)) == (
        "StatusCode.NOT_FOUND",
        "Request for unknown model: 'zzz' is not found",
    )
    status, message = _failure(client, "adder", inputs_of(a, b), model_version="9")
    assert status == "StatusCode.NOT_FOUND"
    assert "version '9'" in message
    status, message = _failure(client, "adder", inputs_of(a, b)[:1], request_id="r7")
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert message.startswith("[request id: r7]")
    assert "input 'B' is missing" in message
    wide = np.zeros((1, 4), np.float32)
    status, message = _failure(client, "adder", inputs_of(wide, wide))
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "input 'A' of model 'adder': expected shape [-1, 3], got [1, 4]" in message
    status, message = _failure(client, "adder", inputs_of(a, np.zeros((2, 3), np.float32)))
    assert "input 'B' of model 'adder': batch dimension 2" in message
    ints = triton.InferInput("A", [1, 3], "INT32")
    ints.set_data_from_numpy(np.zeros((1, 3), np.int32))
    status, message = _failure(client, "adder", [ints, inputs_of(a, b)[1]])
    assert "expected datatype FP32, got INT32" in message
    unknown = [triton.InferRequestedOutput("PRODUCT")]
    status, message = _failure(client, "adder", inputs_of(a, b), outputs=unknown)
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert "'PRODUCT'" in message
    status, message = _failure(client, "adder", inputs_of(a * np.nan, b))
    assert status == "StatusCode.INTERNAL"
    assert "NaN" in message
    assert client.infer("adder", inputs_of(a, b)).as_numpy("SUM") is not None


def test_tritonclient_chooses_the_session_by_parameter_and_by_time(client: Any) -> None:
    a, b = arrays(1)

    def session(**options: Any) -> str:
        response = client.infer("adder", inputs_of(a, b), **options).get_response()
        return str(response.parameters["nexus_session"].string_param)

    assert session() == "adder@5000ms"
    assert session(parameters={"session": "adder@20000ms"}) == "adder@20000ms"
    assert session(parameters={"slo_ms": 20_000}) == "adder@20000ms"
    assert session(parameters={"slo_ms": 6_000.5}) == "adder@5000ms"
    assert session(client_timeout=25.0) == "adder@20000ms"
    assert session(timeout=6_000_000) == "adder@5000ms"
    status, message = _failure(client, "adder", inputs_of(a, b), parameters={"slo_ms": 100})
    assert status == "StatusCode.NOT_FOUND"
    assert "adder@20000ms, adder@5000ms" in message
    status, message = _failure(client, "adder", inputs_of(a, b), parameters={"session": "nope"})
    assert status == "StatusCode.NOT_FOUND"
    assert "'nope'" in message
    tensor = triton.InferInput("X", [1], "FP32")
    tensor.set_data_from_numpy(np.zeros(1, np.float32))
    status, message = _failure(client, "unused", [tensor])
    assert status == "StatusCode.NOT_FOUND"
    assert "nexus apply" in message
    status, message = _failure(client, "hopeless", [tensor])
    assert status == "StatusCode.FAILED_PRECONDITION"
    assert "l(1) is 2000 ms" in message


def test_tritonclient_timeout_that_cannot_be_met_is_refused_at_once(client: Any) -> None:
    a, b = arrays(1)
    status, message = _failure(client, "adder", inputs_of(a, b), timeout=2_000)
    assert status == "StatusCode.DEADLINE_EXCEEDED"
    assert "needs 10 ms even unloaded" in message


def test_tritonclient_streams_with_errors_beside_answers(client: Any) -> None:
    answers: Queue[tuple[Any, Any]] = Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    a, b = arrays(1)
    client.async_stream_infer("adder", inputs_of(a, b), request_id="1")
    client.async_stream_infer("zzz", inputs_of(a, b), request_id="2")
    client.async_stream_infer(
        "adder", inputs_of(a, b), request_id="3", enable_empty_final_response=True
    )
    got = [answers.get(timeout=10) for _ in range(3)]
    client.stop_stream()
    results = {r.get_response().id: r for r, error in got if error is None}
    errors = [error.message() for _, error in got if error is not None]
    assert set(results) == {"1", "3"}
    assert errors == ["[request id: 2] Request for unknown model: 'zzz' is not found"]
    final = results["3"].get_response().parameters["triton_final_response"]
    assert final.bool_param
