"""``--devices SPEC`` of ``nexus up``: which backends a local cluster has.

A spec is a comma list of ``cpu[:COUNT]``, ``cuda[:COUNT]`` and ``emulated:TYPE[:COUNT]``. Without a
count, ``cuda`` takes every GPU of the machine and the others one.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import require_name

BACKENDS_MAX = 256
_GPU_FOLDER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class BackendDevice:
    """One backend to start: its name and its ``--device`` argument."""

    name: str
    device: str


def parse_devices(spec: str, gpu_count: int) -> tuple[BackendDevice, ...]:
    """The backends a spec asks for; raise InvalidArgumentError naming the part that is wrong."""
    devices = tuple(device for part in spec.split(",") for device in _expand(part, gpu_count))
    if len(devices) > BACKENDS_MAX:
        raise InvalidArgumentError(
            f"--devices {spec!r} asks for {len(devices)} backends; the limit is {BACKENDS_MAX}"
        )
    seen: Counter[str] = Counter()
    named = []
    for label, device in devices:
        named.append(BackendDevice(f"{label}-{seen[label]}", device))
        seen[label] += 1
    return tuple(named)


def default_devices(gpu_count: int) -> str:
    """Every GPU where there is one, else one CPU backend."""
    return "cuda" if gpu_count else "cpu:1"


def count_gpus(folder: Path = _GPU_FOLDER) -> int:
    """How many NVIDIA GPUs the driver lists; needs no CUDA library in this process."""
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def _expand(part: str, gpu_count: int) -> Iterator[tuple[str, str]]:
    """(label, device argument) of each backend of one comma-separated part."""
    kind, *rest = part.strip().split(":")
    if kind == "cpu" and len(rest) <= 1:
        return (("cpu", "cpu") for _ in range(_count(part, rest, 1)))
    if kind == "cuda" and len(rest) <= 1:
        return (("cuda", f"cuda:{index}") for index in range(_gpus(part, rest, gpu_count)))
    if kind == "emulated" and 1 <= len(rest) <= 2:  # noqa: PLR2004 - TYPE[:COUNT]
        require_name("device type", rest[0])
        return ((rest[0], f"emulated:{rest[0]}") for _ in range(_count(part, rest[1:], 1)))
    raise InvalidArgumentError(
        f"--devices {part!r} is not understood: use cpu[:COUNT], cuda[:COUNT] or "
        "emulated:TYPE[:COUNT], for example emulated:v100:16"
    )


def _gpus(part: str, text: list[str], gpu_count: int) -> int:
    if not gpu_count:
        raise InvalidArgumentError(f"--devices {part!r}: this machine has no NVIDIA GPU")
    wanted = _count(part, text, gpu_count)
    if wanted > gpu_count:
        raise InvalidArgumentError(f"--devices {part!r}: this machine has {gpu_count} GPUs")
    return wanted


def _count(part: str, text: list[str], default: int) -> int:
    if not text:
        return default
    if not text[0].isascii() or not text[0].isdigit() or int(text[0]) < 1:
        raise InvalidArgumentError(f"--devices {part!r}: {text[0]!r} is not a count of 1 or more")
    return int(text[0])
