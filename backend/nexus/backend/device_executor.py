"""A real device: one thread executes, another loads, so that a load never stalls serving.

The thread that executes is the only one that touches the device for work, which is what makes
"one batch at a time" true. Engines (torch, onnxruntime) are imported at the first model that needs
them.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nexus.backend.device_name import DeviceName
from nexus.backend.executor import Left, Part
from nexus.backend.network import Network, NetworkModel, Samples
from nexus.core.errors import InternalError, InvalidArgumentError, NexusError
from nexus.core.model import EngineKind, Model
from nexus.core.profile import Profile
from nexus.zoo.handlers import handler_for

logger = logging.getLogger(__name__)
T = TypeVar("T")


class DeviceExecutor:
    """The CPU or one GPU.

    ``threads`` bounds what one operator may use on the CPU (0: the library's choice);
    ``model_root`` is where relative weights paths start.
    """

    pooled = True

    def __init__(self, device: DeviceName, *, threads: int = 0, model_root: Path | None) -> None:
        """Start no work yet."""
        self._device = device
        self._threads = threads
        self._model_root = model_root
        self._device_thread = ThreadPoolExecutor(1, thread_name_prefix="device")
        self._load_thread = ThreadPoolExecutor(1, thread_name_prefix="load")

    async def load(self, model: Model, profile: Profile) -> NetworkModel:  # noqa: ARG002 - only emulated devices need it
        """Build the network and read its weights, off the event loop."""
        return await self._in(self._load_thread, partial(self._served, model))

    def load_now(self, model: Model) -> NetworkModel:
        """Build the network and read its weights in the calling thread, for whole batches."""
        handler = handler_for(model)
        return NetworkModel(self._network(model), handler)

    async def execute(
        self, model: NetworkModel, batch: Sequence[Samples]
    ) -> Sequence[tuple[Any, ...]]:
        """Run the batch in the device thread."""
        return await self._in(self._device_thread, partial(model.execute, batch))

    async def execute_group(
        self,
        profile: Profile,  # noqa: ARG002 - only emulated devices need it
        parts: Sequence[Part[NetworkModel]],
    ) -> Sequence[tuple[Any, ...]]:
        """Run the models one after the other: networks here do not share layers."""
        outputs = [await self.execute(part.model, part.batch) for part in parts]
        return [rows for part in outputs for rows in part]

    async def advance(
        self, model: NetworkModel, batch: Sequence[Samples], ends_with: Samples | None
    ) -> Sequence[tuple[Any, ...] | Left]:
        """Run a chunk in the device thread."""
        return await self._in(self._device_thread, partial(model.advance, batch, ends_with))

    def abandon(self, model: NetworkModel, prepared: Samples) -> None:
        """Forget a dispatch in the device thread, between two chunks."""
        with suppress(RuntimeError):  # The threads have ended: nothing is kept any more.
            self._device_thread.submit(model.abandon, prepared)

    async def unload(self, model: NetworkModel) -> None:
        """Free the network in the device thread, between two batches."""
        await self._in(self._device_thread, model.close)

    def close(self) -> None:
        """End the threads; a batch that is running ends first."""
        self._device_thread.shutdown(cancel_futures=True)
        self._load_thread.shutdown(wait=False, cancel_futures=True)

    def _served(self, model: Model) -> NetworkModel:
        """A model as it is served: by chunks where it can be."""
        loaded = self.load_now(model)
        if model.engine is not EngineKind.TORCH:
            return loaded
        from nexus.backend.chunked_torch import by_chunks  # noqa: PLC0415 - heavy

        return by_chunks(loaded, model, self._threads)

    def _network(self, model: Model) -> Network:
        if model.engine is EngineKind.TORCH:
            from nexus.backend.torch_executor import TorchNetwork  # noqa: PLC0415 - heavy

            return TorchNetwork(model, self._device, self._threads, self._model_root)
        if model.engine is EngineKind.ONNX:
            from nexus.backend.onnx_executor import OnnxNetwork  # noqa: PLC0415 - heavy

            return OnnxNetwork(model, self._device, self._threads, self._model_root)
        raise InvalidArgumentError(
            f"model {model.name!r}: engine {model.engine.value} runs only on an emulated device",
            reason="invalid_model",
        )

    async def _in(self, thread: ThreadPoolExecutor, function: Callable[[], T]) -> T:
        """Run in a thread; what is not a NexusError is a defect of the model, and is named so."""
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, function)
        except NexusError:
            raise
        except Exception as error:
            logger.exception("model_failed")
            raise InternalError(
                f"{type(error).__name__}: {error}", reason="model_failed"
            ) from error
