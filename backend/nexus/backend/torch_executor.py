"""Torch networks on the CPU and on CUDA devices.

Weights are read by the zoo, from safetensors or torch's restricted reader: nothing is unpickled
freely (ADR 0014).
"""

import logging
from pathlib import Path

import torch

from nexus.backend.device_name import DeviceKind, DeviceName
from nexus.backend.kernels.accelerate import RECURRENT, accelerate
from nexus.core.errors import FailedPreconditionError, InternalError
from nexus.core.model import Model
from nexus.zoo.handler import Array
from nexus.zoo.networks import build_network
from nexus.zoo.recurrent import RecurrentNetwork

logger = logging.getLogger(__name__)


class TorchNetwork:
    """One torch module, resident on its device."""

    def __init__(
        self, model: Model, device: DeviceName, threads: int, model_root: Path | None
    ) -> None:
        """Build and place it.

        Raises:
            FailedPreconditionError: torch does not see this CUDA device.
            NotFoundError: the network or its weights do not exist.
            InvalidArgumentError: the weights do not fit.
            InternalError: reason ``out_of_memory``.
        """
        if device.kind is DeviceKind.CUDA and device.index >= torch.cuda.device_count():
            raise FailedPreconditionError(
                f"torch sees {torch.cuda.device_count()} CUDA devices, not {device.torch_name}; "
                "is this the CUDA build of torch, and the driver installed?",
                reason="no_device",
            )
        if threads:
            torch.set_num_threads(threads)
        self._name = model.name
        self._device = torch.device(device.torch_name)
        self._cuda = device.kind is DeviceKind.CUDA
        network = build_network(model, model_root)
        self._channels_last = any(isinstance(m, torch.nn.Conv2d) for m in network.modules())
        packed_bytes = 0 if self._cuda else self._accelerate(network, threads)
        self._network: torch.nn.Module | None = self._place(network)
        self.memory_bytes = packed_bytes + sum(
            tensor.numel() * tensor.element_size()
            for tensor in (*network.parameters(), *network.buffers())
        )

    @property
    def stack(self) -> torch.nn.LSTM | torch.nn.GRU | None:
        """The recurrent layer that may run a few steps at a time, before ``read_out``; or None."""
        network: object = self._network
        if self._cuda or not isinstance(network, RecurrentNetwork):
            return None
        layer: object = network.recurrent
        if not isinstance(layer, torch.nn.LSTM | torch.nn.GRU):
            return None
        whole = layer.bidirectional or layer.proj_size or not layer.batch_first
        return None if whole else layer

    def read_out(self, states: Array) -> tuple[Array, ...]:
        """The outputs of a network that has a ``stack``, from the stack's."""
        network = self._resident()
        assert isinstance(network, RecurrentNetwork), self._name
        with torch.inference_mode():
            return _arrays(network.read_out(torch.from_numpy(states)))

    def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Execute one batch and bring its outputs back."""
        network = self._resident()
        try:
            with torch.inference_mode():
                return _arrays(network(*(self._to_device(array) for array in inputs)))
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise self._out_of_memory(f"a batch of {len(inputs[0])}") from error

    def close(self) -> None:
        """Drop the module, and return its memory to the device."""
        self._network = None
        if self._cuda:
            torch.cuda.empty_cache()

    def _resident(self) -> torch.nn.Module:
        if self._network is None:
            raise InternalError(f"model {self._name!r} was unloaded", reason="unloaded")
        return self._network

    def _accelerate(self, network: torch.nn.Module, threads: int) -> int:
        """Let GRNN serve the recurrent layers; return the bytes of what it packed."""
        if isinstance(network, RECURRENT):
            return 0  # itself a layer, and nothing holds it that could hold another
        done = accelerate(network, threads=threads)
        for swapped in done.swapped:
            logger.info("layer accelerated", extra={"model": self._name, "layer": str(swapped)})
        return done.weight_bytes

    def _place(self, network: torch.nn.Module) -> torch.nn.Module:
        try:
            network = network.to(self._device)
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory("the weights") from error
        if self._channels_last:
            # Convolutions read it faster on both kinds of device; the values are the same.
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks this form
        return network

    def _to_device(self, array: Array) -> torch.Tensor:
        tensor = torch.from_numpy(array)
        if self._cuda:
            # Pinned memory lets the copy overlap what the GPU still does.
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        if self._channels_last and tensor.ndim == 4:  # noqa: PLR2004 - batch, channel, height, width
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def _out_of_memory(self, what: str) -> InternalError:
        return InternalError(
            f"model {self._name!r}: the memory of {self._device} ran out with {what}; profile it "
            "with a smaller max_batch, or give the backend's --memory-mb",
            reason="out_of_memory",
        )


def _arrays(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[Array, ...]:
    if isinstance(outputs, torch.Tensor):
        outputs = (outputs,)
    return tuple(output.cpu().numpy() for output in outputs)
