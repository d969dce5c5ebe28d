"""A GPU as the cost model sees it: published sizes, and constants that only a device can tell.

Sizes are the vendors' for the product named (boost clock, dense 16-bit tensor throughput with fp32
sums). Constants are estimates until somebody measures them on a device; `GpuConstants.measured`
names those that were, and everything computed from the others says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from nexus.backend.kernels.cuda import device_limits
from nexus.backend.kernels.cuda.device_limits import DeviceLimits
from nexus.backend.kernels.model.constants_file import Identity, load, save
from nexus.core.errors import DocumentError, NotFoundError

MMA_MULTIPLY_ADDS = 2048
"""Of one mma.m16n8k16."""
QUARTERS = 4
"""Of an SM, each with a scheduler and a tensor core."""
MMA_CYCLES_LEAST = 6.5
"""What mma.sync needs on a quarter that only the wider instructions of its architecture fill."""


@dataclass(frozen=True, slots=True)
class GpuConstants:
    """What a microbenchmark measures; times in nanoseconds unless the name says otherwise."""

    fma_efficiency: float = 0.85
    """Of the peak rate of fp32 multiply-adds, in a dot product whose weights are in registers."""
    mma_cycles: float = MMA_CYCLES_LEAST
    """Of one mma.m16n8k16 on a quarter of an SM, issued one after the other."""
    shuffle_cycles: float = 25.0
    """Of one level of a reduction over the lanes of a warp."""
    fixed_ns: float = 130.0
    """Of a step: two block barriers and the cells' activations."""
    words_ns: float = 400.0
    """One exchange of h by words with epochs through L2, until the last block has it."""
    counter_ns: float = 850.0
    """The same by a counter barrier."""
    cluster_ns: float = 160.0
    """The same inside a thread-block cluster."""
    l2_bytes_per_ns: float = 5000.0
    launch_us: float = 5.0
    """From Python to the first step, and back to an idle stream."""
    library_step_us: float = 8.0
    """Of cuDNN, where it launches kernels for every step."""
    library_persistent_step_us: float = 1.2
    """Of cuDNN, where it has a persistent kernel."""
    library_efficiency: float = 0.6
    """Of the tensor peak, in matrix products of many rows."""
    measured: frozenset[str] = field(default=frozenset())

    @property
    def estimated(self) -> tuple[str, ...]:
        """The names of those that nobody has measured on this device."""
        return tuple(name for name in _names() if name not in self.measured)

    def with_measured(self, values: Mapping[str, Any]) -> Self:
        """These with measured values put in.

        Raises:
            ValueError: a name that is none, or a value that is not positive.
        """
        numbers = {str(name): float(value) for name, value in values.items()}
        wrong = [name for name, value in numbers.items() if name not in _names() or not value > 0]
        if wrong:
            raise ValueError(f"constants of a GPU: {', '.join(wrong)}")
        return replace(self, **numbers, measured=self.measured | numbers.keys())


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU. ``fp32_lanes`` multiply-adds per cycle and SM; ``l2_bytes`` of cache."""

    limits: DeviceLimits
    clock_ghz: float
    fp32_lanes: int
    tensor_tflops: float
    l2_bytes: int
    memory_bytes_per_ns: float
    constants: GpuConstants

    @property
    def name(self) -> str:
        """The product."""
        return self.limits.name

    def cycles_ns(self, cycles: float) -> float:
        """At the boost clock."""
        return cycles / self.clock_ghz

    def load_ns(self, size: float) -> float:
        """Time to read so many bytes that were read before: from L2 if it holds them."""
        held = size <= self.l2_bytes
        return size / (self.constants.l2_bytes_per_ns if held else self.memory_bytes_per_ns)


def _names() -> tuple[str, ...]:
    return tuple(one.name for one in fields(GpuConstants) if one.name != "measured")


@dataclass(frozen=True, slots=True)
class _Published:
    name: str
    clock_ghz: float
    fp32_lanes: int
    tensor_tflops: float
    l2_mib: int
    memory_bytes_per_ns: float
    l2_bytes_per_ns: float

    def gpu(self) -> Gpu:
        """With constants that follow from these where they can."""
        limits = device_limits.KNOWN[self.name]
        per_cycle = self.tensor_tflops * 1e3 / 2 / limits.sms / self.clock_ghz
        mma_cycles = max(QUARTERS * MMA_MULTIPLY_ADDS / per_cycle, MMA_CYCLES_LEAST)
        return Gpu(
            limits=limits,
            clock_ghz=self.clock_ghz,
            fp32_lanes=self.fp32_lanes,
            tensor_tflops=self.tensor_tflops,
            l2_bytes=self.l2_mib * 2**20,
            memory_bytes_per_ns=self.memory_bytes_per_ns,
            constants=GpuConstants(mma_cycles=mma_cycles, l2_bytes_per_ns=self.l2_bytes_per_ns),
        )


KNOWN = {
    one.name: one.gpu()
    for one in (
        _Published("t4", 1.59, 64, 65, 4, 320, 1000),
        _Published("a100", 1.41, 64, 312, 40, 2039, 4500),
        _Published("a10", 1.695, 128, 125, 6, 600, 1800),
        _Published("l4", 2.04, 128, 121, 48, 300, 1800),
        _Published("h100", 1.755, 128, 989, 50, 3350, 5500),
        _Published("b200", 1.85, 128, 2250, 126, 8000, 7000),
        _Published("rtx5090", 2.41, 128, 209.5, 96, 1792, 5500),
    )
}
"""By the names of `device_limits`; the rates of L2 are estimates."""


def known_gpu(name: str) -> Gpu:
    """The product of this name with estimated constants.

    Raises:
        NotFoundError: nothing is known of it.
    """
    if name not in KNOWN:
        raise NotFoundError(
            f"nothing is known of a device {name!r}: use cpu or one of {', '.join(sorted(KNOWN))}",
            reason="unknown_device",
        )
    return KNOWN[name]


def gpu_identity(product: str, uuid: str, driver: str) -> Identity:
    """What measured constants depend on."""
    return Identity("gpu", {"product": product, "uuid": uuid, "driver": driver})


def with_saved_constants(gpu: Gpu, identity: Identity, folder: Path | None = None) -> Gpu:
    """The GPU with what was measured on this very device, if there is a file of it."""
    found = load(identity, gpu.constants.with_measured, folder)
    return gpu if found is None else replace(gpu, constants=found)


def with_constants_of(gpu: Gpu, path: Path) -> Gpu:
    """The GPU with the constants of a file that `save_constants` wrote, on whatever device.

    Raises:
        DocumentError: it cannot be read, or is not such a file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return replace(gpu, constants=gpu.constants.with_measured(data["constants"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError(
            f"{path} holds no constants of a GPU: {type(error).__name__}: {error}"
        ) from error


def save_constants(
    identity: Identity, values: Mapping[str, float], folder: Path | None = None
) -> Path:
    """Keep measured constants: any of the names of `GpuConstants`, in its units.

    The file is JSON: ``{"format": 1, "identity": {...}, "constants": {"words_ns": 412.0, ...}}``.
    """
    GpuConstants().with_measured(values)
    return save(identity, dict(values), folder)
