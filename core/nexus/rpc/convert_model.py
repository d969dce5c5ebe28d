"""A core Model as the Open Inference Protocol describes models, and its tensor specs back."""

from collections.abc import Iterable, Sequence

from nexus.core.model import EngineKind, Model
from nexus.core.tensor import VARIABLE, DataType, TensorSpec
from nexus.inference import open_inference_pb2 as pb
from nexus.rpc.convert_results import datatype_named

PLATFORMS = {
    EngineKind.TORCH: "pytorch_libtorch",
    EngineKind.ONNX: "onnxruntime_onnx",
    EngineKind.EMULATED: "nexus_emulated",
}
"""The protocol's platform words, with one of our own for emulated devices."""

_DATATYPE_NUMBERS = {
    DataType.BOOL: pb.TYPE_BOOL,
    DataType.UINT8: pb.TYPE_UINT8,
    DataType.UINT16: pb.TYPE_UINT16,
    DataType.UINT32: pb.TYPE_UINT32,
    DataType.UINT64: pb.TYPE_UINT64,
    DataType.INT8: pb.TYPE_INT8,
    DataType.INT16: pb.TYPE_INT16,
    DataType.INT32: pb.TYPE_INT32,
    DataType.INT64: pb.TYPE_INT64,
    DataType.FP16: pb.TYPE_FP16,
    DataType.BF16: pb.TYPE_BF16,
    DataType.FP32: pb.TYPE_FP32,
    DataType.FP64: pb.TYPE_FP64,
    DataType.BYTES: pb.TYPE_STRING,
}


def metadata_from_model(model: Model) -> pb.ModelMetadataResponse:
    """The answer to ModelMetadata."""
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=[model.version],
        platform=PLATFORMS[model.engine],
        inputs=_metadata(model.inputs),
        outputs=_metadata(model.outputs),
    )


def config_from_model(model: Model) -> pb.ModelConfigResponse:
    """The answer to ModelConfig.

    A model whose every tensor has a variable first dimension is batched, and the protocol then
    leaves that dimension out of ``dims``; any other has ``max_batch_size`` 0. No batching delay is
    promised: the plan decides it, every epoch.
    """
    specs = (*model.inputs, *model.outputs)
    batched = bool(specs) and all(spec.shape[:1] == (VARIABLE,) for spec in specs)
    first = 1 if batched else 0
    config = pb.ModelConfig(
        name=model.name,
        platform=PLATFORMS[model.engine],
        backend=model.engine.value,
        max_batch_size=model.max_batch if batched else 0,
    )
    for spec in model.inputs:
        config.input.add(
            name=spec.name, data_type=_DATATYPE_NUMBERS[spec.datatype], dims=spec.shape[first:]
        )
    for spec in model.outputs:
        config.output.add(
            name=spec.name, data_type=_DATATYPE_NUMBERS[spec.datatype], dims=spec.shape[first:]
        )
    if batched:
        config.dynamic_batching.SetInParent()
    return pb.ModelConfigResponse(config=config)


def specs_from_metadata(
    metadata: Iterable[pb.ModelMetadataResponse.TensorMetadata],
) -> tuple[TensorSpec, ...]:
    """Tensor specs, for clients; raise InvalidArgumentError on a datatype that is unknown."""
    return tuple(
        TensorSpec(m.name, datatype_named(m.name, m.datatype), tuple(m.shape)) for m in metadata
    )


def _metadata(specs: Sequence[TensorSpec]) -> list[pb.ModelMetadataResponse.TensorMetadata]:
    return [
        pb.ModelMetadataResponse.TensorMetadata(
            name=spec.name, datatype=spec.datatype.value, shape=spec.shape
        )
        for spec in specs
    ]


def repository_model(
    request: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
) -> str:
    """The model a load or unload speaks of: Triton says it in field 2, KServe in field 1."""
    return request.model_name or request.repository_name
