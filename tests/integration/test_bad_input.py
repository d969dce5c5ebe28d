"""Everything a caller can get wrong, through the doors that callers use.

Each gets a status and a message that name what is wrong, and the same server answers the next.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from nexus.client import Client
from nexus.core.errors import InvalidArgumentError, MessageTooLargeError
from nexus.inference import open_inference_pb2 as pb
from nexus.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from nexus.rpc.limits import MESSAGE_BYTES_MAX
from tests.integration.shared_cluster import SharedCluster

pytestmark = pytest.mark.integration

UNLIMITED = [("grpc.max_send_message_length", -1)]
BURST = 20
"""Far more than ``slow`` can answer within its SLO."""


def request(
    model: str = "mlp",
    *,
    name: str = "x",
    datatype: str = "FP32",
    shape: tuple[int, ...] = (1, 16),
    raw: tuple[bytes, ...] = (bytes(64),),
) -> pb.ModelInferRequest:
    """A good request to the MLP, unless told otherwise."""
    made = pb.ModelInferRequest(model_name=model, id="r1", raw_input_contents=raw)
    made.inputs.add(name=name, datatype=datatype, shape=shape)
    return made


@pytest.fixture
def stub(cluster: SharedCluster) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(cluster.frontend, options=UNLIMITED) as channel:
        yield GRPCInferenceServiceStub(channel)


@pytest.fixture(autouse=True)
def goes_on(stub: GRPCInferenceServiceStub) -> Iterator[None]:
    """After every test, the server answers a good request."""
    yield
    assert len(stub.ModelInfer(request()).raw_output_contents[0]) == 16


def failure(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Code, message and trailing metadata of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details(), dict(error.trailing_metadata())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (request(datatype="INT32"), "input 'x' of model 'mlp': expected datatype FP32, got INT32"),
        (request(datatype="FP31"), "'x': datatype 'FP31'"),
        (request(shape=(1, 15), raw=(bytes(60),)), "expected shape [-1, 16], got [1, 15]"),
        (request(shape=(1, -16)), "'x': shape [1, -16]"),
        (request(shape=(0, 16), raw=(b"",)), "'x' of model 'mlp': batch dimension 0"),
        (request(raw=(bytes(63),)), "'x': FP32 [1, 16] needs 64 bytes, got 63"),
        (
            request(raw=(bytes(64), b"extra")),
            "expected 1 raw input contents, one each for 'x', got 2",
        ),
        (request(name="z"), "input 'x' is missing"),
    ],
    ids=[
        "datatype",
        "unknown datatype",
        "shape",
        "negative size",
        "no rows",
        "byte count",
        "extra raw",
        "missing",
    ],
)
def test_bad_input_tensor_is_named(
    stub: GRPCInferenceServiceStub, bad: pb.ModelInferRequest, message: str
) -> None:
    code, details, metadata = failure(lambda: stub.ModelInfer(bad))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message in details
    assert metadata["nexus-reason"]


@pytest.mark.parametrize(
    ("model", "code", "message"),
    [
        ("nosuch", grpc.StatusCode.NOT_FOUND, "unknown model: 'nosuch'"),
        ("unused", grpc.StatusCode.NOT_FOUND, "model 'unused' has no session"),
        (
            "hopeless",
            grpc.StatusCode.FAILED_PRECONDITION,
            "'hopeless@500ms' cannot be served: l(1)",
        ),
        ("unmeasured", grpc.StatusCode.FAILED_PRECONDITION, "no profile for model unmeasured"),
    ],
)
def test_bad_input_model_that_cannot_be_served_says_why(
    stub: GRPCInferenceServiceStub, model: str, code: grpc.StatusCode, message: str
) -> None:
    found, details, _ = failure(lambda: stub.ModelInfer(request(model)))
    assert found is code
    assert message in details


def test_bad_input_message_too_large_is_refused_for_good(cluster: SharedCluster) -> None:
    rows = MESSAGE_BYTES_MAX // 64 + 1
    with (
        Client(cluster.frontend, message_bytes_max=2 * MESSAGE_BYTES_MAX) as client,
        pytest.raises(MessageTooLargeError, match=str(MESSAGE_BYTES_MAX)),
    ):
        client.infer("mlp", {"x": np.zeros((rows, 16), np.float32)})


def jpeg() -> bytes:
    content = io.BytesIO()
    noise = np.random.default_rng(5).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(content, "JPEG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (b"", "the frame is empty"),
        (b"GIF89a not an image", "expected a JPEG or PNG"),
        (jpeg()[:400], "stage 'look': the image is corrupt"),
        (b"\xff\xd8\xff" + bytes(100), "stage 'look': 103 bytes are not an image"),
    ],
    ids=["empty", "neither JPEG nor PNG", "cut short", "no JPEG after all"],
)
def test_bad_input_frame_is_refused_and_the_query_goes_on(
    cluster: SharedCluster, frame: bytes, message: str
) -> None:
    with Client(cluster.frontend) as client:
        with pytest.raises(InvalidArgumentError) as caught:
            client.query("colours", frame)
        assert message in caught.value.message
        assert client.query("colours", jpeg()).stage("look") is not None


def test_bad_input_image_among_good_ones_fails_its_request_only(cluster: SharedCluster) -> None:
    with Client(cluster.frontend) as client:
        with pytest.raises(InvalidArgumentError, match="corrupt"):
            client.infer("colour", {"image": [jpeg(), jpeg()[:400]]})
        assert client.infer("colour", {"image": [jpeg(), jpeg()]}).tensor("embedding").shape == (
            2,
            3,
        )


DOCUMENTS = {
    "negative SLO": (
        "{kind: Session, model: mlp, slo_ms: -5}",
        "bad.yaml:1: slo_ms: -5 must be greater than 0",
    ),
    "cyclic query": (
        """
        kind: Query
        name: ring
        slo_ms: 50
        stages:
          - {name: a, model: mlp, after: [b]}
          - {name: b, model: mlp, after: [a]}
        """,
        "query 'ring' is cyclic: a, b wait for one another",
    ),
    "stage of an unknown model": (
        "{kind: Query, name: q, slo_ms: 50, stages: [{name: a, model: nosuch}]}",
        "query 'q': stage 'a': model 'nosuch' is not declared",
    ),
    "latency that is no number": (
        "{kind: Profile, model: mlp, device: cpu, latency_ms: [5, fast]}",
        "bad.yaml:1: latency_ms[1]: expected a number, got 'fast'",
    ),
    "profile without latencies": (
        "{kind: Profile, model: mlp, device: cpu}",
        "expected exactly one of latency_ms and alpha_ms",
    ),
    "profile of an unknown model": (
        "{kind: Profile, model: nosuch, device: cpu, latency_ms: [5]}",
        "profile 'nosuch/cpu': model 'nosuch' is not declared",
    ),
    "no YAML": ("kind: [Profile", "bad.yaml:1: not YAML"),
}


@pytest.mark.parametrize(("document", "message"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_bad_input_document_is_refused_whole(
    cluster: SharedCluster, tmp_path: Path, document: str, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(document)
    ended = cluster.nexus("apply", "-f", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


def test_bad_input_document_beside_good_ones_declares_none(
    cluster: SharedCluster,
) -> None:
    good = "{kind: Session, model: mlp, slo_ms: 7777}"
    bad = "{kind: Session, model: nosuch, slo_ms: 7777}"
    ended = cluster.nexus("apply", "-f", "-", stdin=f"{good}\n---\n{bad}\n")
    assert ended.code == 2
    assert "session 'nosuch@7777ms': model 'nosuch' is not declared" in ended.err
    assert "mlp@7777ms" not in cluster.nexus("get", "session").out


def test_bad_input_session_beyond_all_devices_is_explained(cluster: SharedCluster) -> None:
    asked = cluster.nexus("infer", "hopeless", "--zeros")
    assert asked.code == 1
    assert "session 'hopeless@500ms' cannot be served: l(1) = 2000 ms" in asked.err
    described = cluster.nexus("describe", "session", "hopeless@500ms")
    assert described.code == 0
    assert "l(1) = 2000 ms" in described.out


SCENARIO = """
name: tight
devices: [{type: v100, count: 1}]
models:
  - {name: m, profiles: {v100: PROFILE}}
sessions: [{model: m, slo_ms: 100, rate: 10}]
"""
MALFORMED_PROFILE = """\
nexus-profile 1
model: m
device: v100

item         p50_us  p95_us  std_us  repeats
preprocess        1       1       0       50
postprocess       1       1       0       50

batch  p50_us  p95_us  p99_us  std_us  memory_bytes  repeats
1        fast    8710    8800      40     401000000       50
"""


def test_bad_input_plan_that_cannot_be_met_is_planned_and_says_so(
    cluster: SharedCluster, tmp_path: Path
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO.replace("PROFILE", "{latency_ms: [120, 130]}"))
    ended = cluster.nexus("plan", "-f", str(path))
    assert ended.code == 0
    assert "m@100ms: l(1) = 120 ms" in ended.out


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("{file: missing.txt}", "missing.txt"),
        ("{file: malformed.txt}", "malformed.txt:10: "),
        ("{latency_ms: [0]}", "scenario.yaml:5: models[0].profiles.v100.latency_ms[0]: 0 must be"),
        ("{latency_ms: []}", "profile of 'm' on 'v100' has no rows"),
    ],
)
def test_bad_input_profile_of_a_scenario_is_named(
    cluster: SharedCluster, tmp_path: Path, profile: str, message: str
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO.replace("PROFILE", profile))
    (tmp_path / "malformed.txt").write_text(MALFORMED_PROFILE)
    ended = cluster.nexus("plan", "-f", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_bad_input_overload_is_refused_with_when_to_retry(stub: GRPCInferenceServiceStub) -> None:
    asked = request("slow", shape=(1, 2), raw=(bytes(8),))
    calls = [stub.ModelInfer.future(asked) for _ in range(BURST)]
    ends = [(call.code(), dict(call.trailing_metadata())) for call in calls]
    refused = [metadata for code, metadata in ends if code is grpc.StatusCode.RESOURCE_EXHAUSTED]
    codes = {code for code, _ in ends}
    assert grpc.StatusCode.OK in codes
    assert codes <= {
        grpc.StatusCode.OK,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    assert refused
    for metadata in refused:
        assert metadata["nexus-reason"] == "overloaded"
        assert float(metadata["nexus-expected-wait-ms"]) > 0
        assert float(metadata["nexus-retry-after-ms"]) > 0


def test_bad_input_deadline_that_cannot_be_met_is_refused_at_once(
    stub: GRPCInferenceServiceStub,
) -> None:
    asked = request("slow", shape=(1, 2), raw=(bytes(8),))
    asked.parameters["timeout"].int64_param = 100_000
    code, details, metadata = failure(lambda: stub.ModelInfer(asked))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "'slow@1000ms' needs 200 ms even unloaded" in details
    assert metadata["nexus-reason"] == "deadline"
