"""The ONNX executor: whose names the declared inputs and outputs are."""

from pathlib import Path

import numpy as np
import pytest

from nexus.backend.device_name import parse_device
from nexus.backend.onnx_executor import OnnxNetwork
from nexus.core.errors import InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.core.tensor import DataType, TensorSpec
from tests.backend.onnx_files import BATCH, write_colour_network, write_onnx

ROW = (BATCH, 2)
FINDINGS = (
    TensorSpec("labels", DataType.BYTES, (-1, -1)),
    TensorSpec("scores", DataType.FP32, (-1, -1)),
    TensorSpec("boxes", DataType.INT32, (-1, -1, 4)),
)


def specs(*names: str) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, DataType.FP32, (-1, 2)) for name in names)


def opened(
    path: Path,
    *,
    inputs: tuple[TensorSpec, ...] = (),
    outputs: tuple[TensorSpec, ...] = (),
    handler: str = "tensors",
) -> OnnxNetwork:
    model = Model(
        name="toy",
        engine=EngineKind.ONNX,
        handler=handler,
        weights=path.name,
        inputs=inputs,
        outputs=outputs,
    )
    return OnnxNetwork(model, parse_device("cpu"), threads=1, model_root=path.parent)


@pytest.fixture
def arithmetic(tmp_path: Path) -> Path:
    """Difference and sum of a and b."""
    return write_onnx(
        tmp_path / "arithmetic.onnx",
        (("Sub", ("a", "b"), ("difference",)), ("Add", ("a", "b"), ("sum",))),
        (("a", ROW), ("b", ROW)),
        (("difference", ROW), ("sum", ROW)),
    )


def run(network: OnnxNetwork, *rows: tuple[float, float]) -> list[list[float]]:
    outputs = network.run(tuple(np.array([row], np.float32) for row in rows))
    return [output[0].tolist() for output in outputs]


def test_onnx_executor_goes_by_declared_names(arithmetic: Path) -> None:
    network = opened(arithmetic, inputs=specs("b", "a"), outputs=specs("sum", "difference"))
    assert run(network, (1, 2), (10, 20)) == [[11, 22], [9, 18]]


def test_onnx_executor_goes_by_order_where_the_names_are_others(arithmetic: Path) -> None:
    network = opened(arithmetic, inputs=specs("x", "y"), outputs=specs("less", "more"))
    assert run(network, (10, 20), (1, 2)) == [[9, 18], [11, 22]]


def test_onnx_executor_gives_only_the_declared_outputs(arithmetic: Path) -> None:
    network = opened(arithmetic, inputs=specs("a", "b"), outputs=specs("sum"))
    assert run(network, (1, 2), (10, 20)) == [[11, 22]]


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(("a",), ("sum",)), (("a", "b"), ("sum", "product", "quotient"))]
)
def test_onnx_executor_refuses_what_the_file_has_not(
    arithmetic: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'toy' declares the (in|out)puts .* its ONNX"):
        opened(arithmetic, inputs=specs(*inputs), outputs=specs(*outputs))


def test_onnx_executor_leaves_declared_findings_to_their_handler(tmp_path: Path) -> None:
    image = (TensorSpec("image", DataType.BYTES, (-1,)),)
    path = write_colour_network(tmp_path / "colour.onnx")
    network = opened(path, inputs=image, outputs=FINDINGS, handler="text_detector")
    pixels = np.zeros((2, 3, 4, 4), np.float32)
    pixels[1, 2] = 0.5
    (colours,) = network.run((pixels,))
    assert colours.tolist() == [[0, 0, 0], [0, 0, 0.5]]


def test_onnx_executor_names_a_file_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no protobuf")
    with pytest.raises(InvalidArgumentError, match=r"broken\.onnx cannot be read as ONNX"):
        opened(path)
