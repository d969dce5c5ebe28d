"""Models as the Open Inference Protocol describes them."""

from nexus.core.model import EngineKind, Model
from nexus.core.tensor import DataType, TensorSpec
from nexus.inference import open_inference_pb2 as pb
from nexus.rpc.convert_model import (
    config_from_model,
    metadata_from_model,
    repository_model,
    specs_from_metadata,
)


def model(*inputs: TensorSpec) -> Model:
    output = TensorSpec("y", DataType.BYTES, (-1, 2))
    return Model(
        name="m",
        engine=EngineKind.ONNX,
        version="7",
        inputs=inputs,
        outputs=(output,),
        max_batch=16,
    )


def test_metadata_shapes_keep_the_batch_dimension() -> None:
    spec = TensorSpec("x", DataType.FP32, (-1, 3, 224))
    metadata = metadata_from_model(model(spec))
    assert list(metadata.versions) == ["7"]
    assert metadata.platform == "onnxruntime_onnx"
    assert specs_from_metadata(metadata.inputs) == (spec,)
    assert metadata.outputs[0].datatype == "BYTES"


def test_config_of_a_batched_model_leaves_the_batch_dimension_out() -> None:
    config = config_from_model(model(TensorSpec("x", DataType.FP32, (-1, 3, 224)))).config
    assert config.max_batch_size == 16
    assert list(config.input[0].dims) == [3, 224]
    assert config.input[0].data_type == pb.TYPE_FP32
    assert list(config.output[0].dims) == [2]
    assert config.output[0].data_type == pb.TYPE_STRING
    assert config.WhichOneof("scheduling_choice") == "dynamic_batching"


def test_config_of_an_unbatched_model_has_no_batch_size() -> None:
    config = config_from_model(model(TensorSpec("x", DataType.INT64, (4, 3)))).config
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [4, 3]
    assert config.WhichOneof("scheduling_choice") is None


def test_every_datatype_has_a_number_of_the_protocol() -> None:
    specs = [TensorSpec(datatype.value, datatype, (-1,)) for datatype in DataType]
    numbers = {tensor.data_type for tensor in config_from_model(model(*specs)).config.input}
    assert numbers == set(range(1, 15))


def test_repository_request_names_the_model_in_either_dialect() -> None:
    triton = pb.RepositoryModelLoadRequest(repository_name="r", model_name="m")
    kserve = pb.RepositoryModelUnloadRequest(repository_name="m")
    assert (repository_model(triton), repository_model(kserve)) == ("m", "m")
