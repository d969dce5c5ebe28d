"""The device that is being profiled: the backend's own executor, and what there is to say of it.

The profiler stands above the backend for this: it times the very code that will serve.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from nexus.backend.device_executor import DeviceExecutor
from nexus.backend.device_name import DeviceKind, DeviceName
from nexus.backend.network import NetworkModel
from nexus.core.errors import InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.core.names import DeviceType
from nexus.profiler.memory_meter import CudaMemory, MemoryMeter, NoMeter, ProcessMemory

_CPU_INFO = Path("/proc/cpuinfo")
_PACKAGES = {EngineKind.TORCH: "torch", EngineKind.ONNX: "onnxruntime"}


class Executor(Protocol):
    """What the profiler needs of the backend's executor."""

    def load_now(self, model: Model) -> NetworkModel:
        """Make a model resident; raise NexusError when it cannot be."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


@dataclass(frozen=True, kw_only=True)
class ProfiledDevice:
    """``type`` is what profiles and plans call it; the rest is in ``Measurement``'s words."""

    type: DeviceType
    executor: Executor
    meter: MemoryMeter = field(default_factory=NoMeter)
    hardware: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)


def open_device(
    name: DeviceName, *, threads: int = 0, model_root: Path | None = None
) -> ProfiledDevice:
    """The CPU or a GPU of this machine, as a backend with the same flags would use it.

    Raises:
        InvalidArgumentError: The device is emulated: it takes its time from a profile.
    """
    if name.kind is DeviceKind.EMULATED:
        raise InvalidArgumentError(
            f"device emulated:{name.type} has nothing to measure: it runs by a profile; "
            "profile on cpu or cuda:INDEX",
            reason="invalid_device",
        )
    on_gpu = name.kind is DeviceKind.CUDA
    return ProfiledDevice(
        type=name.type,
        executor=DeviceExecutor(name, threads=threads, model_root=model_root),
        meter=CudaMemory(name.index) if on_gpu else ProcessMemory(),
        hardware=_gpu(name.index) if on_gpu else _cpu(),
        conditions={"threads": str(threads)} if threads else {},
    )


def engine_condition(engine: EngineKind) -> dict[str, str]:
    """The package that runs models of this kind, and its version: ``{"torch": "2.13.0"}``."""
    package = _PACKAGES.get(engine, "")
    try:
        return {package: version(package)} if package else {}
    except PackageNotFoundError:
        return {}


def _cpu() -> str:
    """``AMD EPYC 7763, 2 cores``, or the architecture where Linux does not tell."""
    name = platform.machine()
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


def _gpu(index: int) -> str:
    import torch  # noqa: PLC0415 - only where there is a GPU

    name: str = torch.cuda.get_device_name(index)
    return name
