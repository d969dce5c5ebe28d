"""Which slot runner serves a stack on this machine: the best that is installed."""

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.cellular.gathered_slots import GatheredSlots
from nexus.backend.kernels.cellular.slot_runner import SlotRunner
from nexus.backend.kernels.choose_runner import build_runner, cpu_features
from nexus.backend.kernels.weights import StackWeights


def build_slots(
    weights: StackWeights,
    slots: int,
    *,
    precision: Precision = Precision.FP32,
    threads: int = 0,
) -> SlotRunner:
    """Pack a stack into slots, in the CPU extension where it is installed.

    Args:
        weights: Copied.
        slots: How many sequences may be in it together.
        precision: What the weights may be kept in.
        threads: CPU threads of one call; 0 leaves it to the runner.

    Raises:
        FailedPreconditionError: nothing that is installed serves recurrent layers.
        InvalidArgumentError: the stack is bidirectional, or the runner has no such precision.
    """
    if cpu_features() is None:
        return GatheredSlots(build_runner(weights, precision=precision, threads=threads), slots)
    from nexus.backend.kernels.cellular.cpu_slots import CpuSlots  # noqa: PLC0415 - may be missing

    return CpuSlots(weights, slots, precision=precision, threads=threads)
