"""Our messages live beside tritonclient's, and the committed code is what protoc writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nexus import protobuf_pool
from nexus.inference import open_inference_pb2
from nexus.v1 import query_pb2
from tools import generate_protos

OURS = """
from nexus.inference import open_inference_pb2 as ours, open_inference_pb2_grpc
from nexus.v1 import backend_pb2_grpc, control_pb2_grpc, frames_pb2, query_pb2_grpc
"""
TRITON = """
import tritonclient.grpc
from tritonclient.grpc import service_pb2 as theirs
"""
EXCHANGE = """
sent = theirs.ModelInferRequest(model_name="m", id="7", raw_input_contents=[b"xy"])
read = ours.ModelInferRequest.FromString(sent.SerializeToString())
assert (read.model_name, read.id, list(read.raw_input_contents)) == ("m", "7", [b"xy"])
config = ours.ModelConfig(name="m", max_batch_size=4)
config.input.add(name="x", data_type=ours.TYPE_FP32, dims=[3])
from tritonclient.grpc import model_config_pb2
back = model_config_pb2.ModelConfig.FromString(config.SerializeToString())
assert (back.max_batch_size, back.input[0].name, list(back.input[0].dims)) == (4, "x", [3])
"""


@pytest.mark.parametrize("imports", [OURS + TRITON, TRITON + OURS], ids=["ours", "triton"])
def test_pool_coexists_with_tritonclient_whichever_comes_first(imports: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", imports + EXCHANGE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_pool_is_private_and_holds_all_of_ours() -> None:
    pool = protobuf_pool.Default()
    assert open_inference_pb2.ModelInferRequest.DESCRIPTOR.file.pool is pool
    assert pool.FindMessageTypeByName("nexus.v1.QueryRequest") is (
        query_pb2.QueryRequest.DESCRIPTOR
    )


def test_generated_code_is_current() -> None:
    assert generate_protos.main(["--check"]) == 0


def test_generator_check_names_a_stale_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(generate_protos.PROTOS / "nexus/v1", protos / "nexus/v1")
    stale = protos / "nexus/v1/results_pb2.py"
    stale.write_text(stale.read_text().replace("Generated", "Edited"))
    assert generate_protos.check(protos) == 1
    printed = capsys.readouterr().out
    assert "nexus/v1/results_pb2.py is not what" in printed
    assert "query_pb2" not in printed
