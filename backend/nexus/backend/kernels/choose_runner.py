"""Which runner serves a stack on this machine, and why.

The CPU extension where it is installed, else onnxruntime; each is imported only when it is chosen.
"""

import logging
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.runner import RecurrentRunner
from nexus.backend.kernels.weights import StackWeights
from nexus.core.errors import FailedPreconditionError

logger = logging.getLogger(__name__)
EXTENSION = "nexus_cpu_kernels"


class RunnerKind(Enum):
    """What executes a recurrent stack on a CPU."""

    CPU_KERNELS = "cpu_kernels"
    ONNXRUNTIME = "onnxruntime"


@dataclass(frozen=True, slots=True)
class Choice:
    """A runner, and one sentence on why it is this one."""

    kind: RunnerKind
    why: str


@cache
def cpu_features() -> tuple[str, ...] | None:
    """The instruction sets the CPU extension can use here; None where it is not installed."""
    try:
        found: tuple[str, ...] = tuple(import_module(EXTENSION).features())
    except ImportError:
        return None
    return found


def choose_runner(
    features: tuple[str, ...] | None,
    *,
    onnxruntime: bool,
    precision: Precision = Precision.FP32,
) -> Choice:
    """Choose among what is installed.

    Args:
        features: See `cpu_features`.
        onnxruntime: Whether it is installed.
        precision: The least that weights must be kept in; onnxruntime keeps more.

    Raises:
        FailedPreconditionError: neither is installed; reason ``no_runner``.
    """
    if features is not None:
        return Choice(
            RunnerKind.CPU_KERNELS, f"the CPU kernels are installed and use {features[0]}"
        )
    install = "`pip install ./backend/cpu_kernels` (it needs a C++ compiler)"
    if not onnxruntime:
        raise FailedPreconditionError(
            f"nothing installed serves recurrent layers: {install}, or install onnxruntime",
            reason="no_runner",
        )
    kept = "" if precision is Precision.FP32 else f", in fp32 instead of {precision.value}"
    return Choice(
        RunnerKind.ONNXRUNTIME,
        f"the CPU kernels are not installed, onnxruntime serves recurrent layers{kept}; {install} "
        "for lower latencies",
    )


def build_runner(
    weights: StackWeights, *, precision: Precision = Precision.FP32, threads: int = 0
) -> RecurrentRunner:
    """Pack a stack for the best runner there is.

    Args:
        weights: Copied; later changes to them are not seen.
        precision: What the weights may be kept in.
        threads: CPU threads of one call; 0 leaves it to the runner.

    Raises:
        FailedPreconditionError: none is installed; reason ``no_runner``.
        InvalidArgumentError: the runner has no such precision.
    """
    onnxruntime = find_spec("onnxruntime") is not None
    choice = choose_runner(cpu_features(), onnxruntime=onnxruntime, precision=precision)
    if choice.kind is RunnerKind.CPU_KERNELS:
        from nexus.backend.kernels.cpu_runner import (  # noqa: PLC0415 - may be missing
            CpuRunner,
            threads_of,
        )
        from nexus.backend.kernels.model.cpu_measurement import (  # noqa: PLC0415 - only for those
            kept_constants,
        )

        threads = threads_of(threads)
        constants = kept_constants(import_module(EXTENSION), threads)
        return CpuRunner(weights, precision=precision, threads=threads, constants=constants)
    _say_once(choice.why)
    from nexus.backend.kernels.onnx_runner import OnnxRunner  # noqa: PLC0415 - may be missing

    return OnnxRunner(weights, threads=threads)


@cache
def _say_once(line: str) -> None:
    logger.warning(line)
