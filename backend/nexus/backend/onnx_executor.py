"""ONNX networks through onnxruntime, on the CPU and on CUDA devices."""

from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from nexus.backend.device_name import DeviceKind, DeviceName
from nexus.core.errors import FailedPreconditionError, InternalError, InvalidArgumentError
from nexus.core.model import Model
from nexus.core.tensor import TensorSpec
from nexus.zoo.handler import Array
from nexus.zoo.weights import resolve

CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"
TENSOR_HANDLER = "tensors"


class OnnxNetwork:
    """One onnxruntime session.

    Behind the handler ``tensors`` the declared inputs and outputs are the file's own: they go by
    their names where the file has them, and by their order where it has not. Any other handler
    declares what *it* takes and gives (an image, findings), and works on all the file's outputs in
    their order.
    """

    def __init__(
        self, model: Model, device: DeviceName, threads: int, model_root: Path | None
    ) -> None:
        """Open the file.

        Raises:
            FailedPreconditionError: this onnxruntime has no CUDA.
            NotFoundError: the file does not exist.
            InvalidArgumentError: the file is not ONNX, or takes other inputs than declared.
        """
        path = resolve(model.weights, model_root)
        self._name = model.name
        self._session: ort.InferenceSession | None = _open(path, device, threads)
        self._inputs = _names(model, "input", model.inputs, self._session.get_inputs())
        self._outputs = _names(model, "output", model.outputs, self._session.get_outputs())
        self.memory_bytes = path.stat().st_size

    def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Execute one batch."""
        if self._session is None:
            raise InternalError(f"model {self._name!r} was unloaded", reason="unloaded")
        feed = dict(zip(self._inputs, inputs, strict=True))
        return tuple(self._session.run(list(self._outputs), feed))

    def close(self) -> None:
        """Drop the session and its memory."""
        self._session = None


def _open(path: Path, device: DeviceName, threads: int) -> ort.InferenceSession:
    providers: list[str | tuple[str, dict[str, int]]] = [CPU_PROVIDER]
    if device.kind is DeviceKind.CUDA:
        if CUDA_PROVIDER not in ort.get_available_providers():
            raise FailedPreconditionError(
                "this onnxruntime has no CUDA: install onnxruntime-gpu", reason="no_device"
            )
        providers.insert(0, (CUDA_PROVIDER, {"device_id": device.index}))
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's own errors share no base but this
        raise InvalidArgumentError(
            f"weights {path.name} cannot be read as ONNX: {error}", reason="invalid_weights"
        ) from error


def _names(
    model: Model, kind: str, specs: Sequence[TensorSpec], nodes: Sequence[ort.NodeArg]
) -> tuple[str, ...]:
    """The file's names, in the order in which the handler gives and takes the arrays."""
    declared, present = [spec.name for spec in specs], [node.name for node in nodes]
    if model.handler != TENSOR_HANDLER or not declared:
        return tuple(present)
    by_name = set(declared) <= set(present)
    if len(declared) == len(present):
        return tuple(declared if by_name else present)
    if by_name and kind == "output":
        return tuple(declared)
    raise InvalidArgumentError(
        f"model {model.name!r} declares the {kind}s {declared}, its ONNX file has {present}",
        reason="invalid_model",
    )
