"""Inputs made from what a model declares are inputs that the model's handler takes."""

import io

import pytest
from PIL import Image

from nexus.core.model import EngineKind, Model
from nexus.core.tensor import DataType, TensorSpec, iterate_bytes_elements
from nexus.profiler.sample_input import FRAME_HEIGHT, FRAME_WIDTH, VARIABLE_SIZE, sample_input
from nexus.zoo.handlers import handler_for


def model(*inputs: TensorSpec, handler: str = "tensors") -> Model:
    return Model(name="m", engine=EngineKind.EMULATED, inputs=inputs, handler=handler)


@pytest.mark.parametrize("datatype", list(DataType))
def test_sample_input_fits_every_datatype(datatype: DataType) -> None:
    spec = TensorSpec("x", datatype, (-1, 3, -1))
    (tensor,) = sample_input(model(spec))
    assert tensor.datatype is datatype
    assert tensor.shape == (1, 3, VARIABLE_SIZE)
    assert spec.accepts(tensor.shape)


def test_sample_input_is_one_item_for_the_handler() -> None:
    declared = model(
        TensorSpec("x", DataType.FP32, (-1, 4)), TensorSpec("ids", DataType.INT64, (-1, -1))
    )
    samples = handler_for(declared).preprocess(sample_input(declared), ())
    assert len(samples) == 1
    assert [array.shape for array in samples[0].inputs] == [(4,), (VARIABLE_SIZE,)]


def test_sample_input_of_a_model_without_inputs_is_a_frame() -> None:
    (tensor,) = sample_input(model())
    (content,) = iterate_bytes_elements(tensor.name, tensor.content)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (FRAME_WIDTH, FRAME_HEIGHT)


def test_sample_input_is_the_same_for_the_same_seed() -> None:
    declared = model(TensorSpec("x", DataType.FP32, (-1, 4)))
    assert sample_input(declared, seed=1) == sample_input(declared, seed=1)
    assert sample_input(declared, seed=1) != sample_input(declared, seed=2)
