"""Launches kernels on an NVIDIA GPU, on torch's current stream, with cuda.core.

Blocks of one part and batch tile wait for each other, so they must all be resident: a cooperative
launch promises it (and fails where it cannot be), or a cluster does, which the hardware starts as
one. Torch owns memory and streams; a captured CUDA graph of torch holds these launches too.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nexus.backend.kernels.cuda.compiler import KERNEL_NAME, compile_configuration
from nexus.backend.kernels.cuda.configuration import Configuration, Exchange
from nexus.backend.kernels.cuda.device_limits import DeviceLimits
from nexus.backend.kernels.cuda.driver import require_driver
from nexus.backend.kernels.cuda.persistent_layer import Launch
from nexus.core.errors import FailedPreconditionError, InternalError

SHARED_BYTES_DEFAULT = 48 * 1024
"""A kernel that wants more must say so before its first launch."""
CLUSTER_BLOCKS_PORTABLE = 8
LAUNCH_SHAPES_CACHED = 256


class GpuLauncher:
    """One GPU. Kernels are compiled and loaded at their first launch, or by `load`."""

    def __init__(self, index: int = 0, folder: Path | None = None) -> None:
        """``folder`` holds compiled kernels, by default `compiler.cache_folder`.

        Raises:
            FailedPreconditionError: no driver, or a torch without CUDA.
        """
        require_driver()
        if not torch.cuda.is_available():
            raise FailedPreconditionError(
                "torch sees no GPU: install a torch built for CUDA (see pytorch.org)",
                reason="no_gpu",
            )
        from cuda.core import Device  # noqa: PLC0415 - only with the extra, and a driver

        self.device = torch.device("cuda", index)
        self._folder = folder
        torch.zeros(1, device=self.device)  # torch's context becomes the current one
        device = Device(index)
        device.set_current()
        self.limits = DeviceLimits(
            device.name,
            int(device.arch),
            device.properties.multiprocessor_count,
            device.properties.max_shared_memory_per_block_optin,
        )
        self._kernels: dict[Configuration, Any] = {}
        self._launch_config = lru_cache(LAUNCH_SHAPES_CACHED)(_launch_config)

    def load(self, configuration: Configuration) -> None:
        """Compile it (or take it from the cache) and load it onto the GPU."""
        self._kernel(configuration)

    def launch(self, configuration: Configuration, launch: Launch) -> None:
        """Run it after everything on torch's current stream."""
        from cuda.core import launch as launch_kernel  # noqa: PLC0415 - only with the extra

        kernel = self._kernel(configuration)
        launch_kernel(
            _stream(torch.cuda.current_stream(self.device).cuda_stream),
            self._launch_config(configuration, launch.grid),
            kernel,
            *launch.pointers,
            np.int32(launch.state_rows),
            np.int32(launch.steps),
            np.uint32(launch.epoch),
            np.uint64(launch.patience_ticks),
        )

    def _kernel(self, configuration: Configuration) -> Any:
        if configuration not in self._kernels:
            self._kernels[configuration] = self._loaded(configuration)
        return self._kernels[configuration][1]

    def _loaded(self, configuration: Configuration) -> tuple[Any, Any]:
        from cuda.core import ObjectCode  # noqa: PLC0415 - only with the extra, and a driver

        configuration.require(self.limits)
        compiled = compile_configuration(configuration, self.limits.arch, self._folder)
        module = ObjectCode.from_cubin(compiled.cubin, name=KERNEL_NAME)
        kernel = module.get_kernel(KERNEL_NAME)
        self._allow(kernel, configuration)
        return module, kernel  # the module must outlive its kernel

    def _allow(self, kernel: Any, configuration: Configuration) -> None:
        """Sizes beyond the defaults, which cuda.core cannot set yet."""
        from cuda.bindings import driver  # noqa: PLC0415 - only with the extra, and a driver

        attributes = driver.CUfunction_attribute
        wanted = []
        if configuration.shared_bytes > SHARED_BYTES_DEFAULT:
            name = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            wanted.append((name, configuration.shared_bytes))
        if (
            configuration.exchange is Exchange.CLUSTER
            and configuration.blocks > CLUSTER_BLOCKS_PORTABLE
        ):
            wanted.append((attributes.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1))
        device = driver.CUdevice(self.device.index)
        for name, value in wanted:
            (status,) = driver.cuKernelSetAttribute(name, value, kernel.handle, device)
            if status != driver.CUresult.CUDA_SUCCESS:
                raise InternalError(
                    f"the driver refuses {name.name}={value} for {configuration}: {status.name}",
                    reason="kernel_refused",
                )


def _launch_config(configuration: Configuration, grid: tuple[int, int, int]) -> Any:
    from cuda.core import LaunchConfig  # noqa: PLC0415 - only with the extra, and a driver

    blocks, parts, tiles = grid
    if configuration.exchange is Exchange.CLUSTER:
        return LaunchConfig(
            grid=(1, parts, tiles),  # in clusters
            cluster=(blocks, 1, 1),
            block=configuration.threads,
            shmem_size=configuration.shared_bytes,
        )
    return LaunchConfig(
        grid=grid,
        block=configuration.threads,
        shmem_size=configuration.shared_bytes,
        is_cooperative=True,
    )


@lru_cache(maxsize=64)
def _stream(handle: int) -> Any:
    from cuda.core import LEGACY_DEFAULT_STREAM, Stream  # noqa: PLC0415 - only with the extra

    return Stream.from_handle(handle) if handle else LEGACY_DEFAULT_STREAM
