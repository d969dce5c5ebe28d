"""Taking a CPU's constants: two seconds of the extension's own kernels, once for each machine.

Every run is taken many times in turns with the others, and the shortest counts: whatever else the
machine does can only add to a time.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.model.constants_file import Identity, load, save
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_instructions import instruction_set
from nexus.backend.kernels.model.cpu_plan import CpuPlan
from nexus.backend.kernels.model.cpu_probe import Probe, constants_from, probes
from nexus.backend.kernels.model.workload import Workload

PRECISIONS = (Precision.FP32, Precision.FP24, Precision.BF16)
BUDGET_NS = 2_000_000_000
TRIES_PER_TURN = 3
"""At least: the first finds the caches as other runs left them."""
TURN_NS = 300_000
"""At least, so that short runs are tried often."""
L2_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
L2_BYTES_UNKNOWN = 512 * 1024
"""Where the system does not tell: what cores have at least nowadays."""
CPU_INFO = Path("/proc/cpuinfo")

Clock = Callable[[], int]
T = TypeVar("T")


class RunnableStack:
    """A stack of the extension with arrays to run a workload on, all zeros: time is the same."""

    def __init__(self, extension: ModuleType, workload: Workload, precision: Precision) -> None:
        """Pack zeros for the workload's shape; batch and steps do not matter."""
        shape = workload.shape
        layers = []
        for index in range(shape.states):
            layer = shape.layer(index // shape.directions)
            sizes = ((layer.rows, layer.input_size), (layer.rows, layer.hidden_size))
            biases = ((layer.rows,), (layer.rows,))
            layers.append(tuple(np.zeros(size, np.float32) for size in (*sizes, *biases)))
        self._extension = extension
        self._stack = extension.Stack(
            shape.cell.value, layers, shape.bidirectional, precision.value
        )

    def runner(self, workload: Workload, plan: CpuPlan | None, pool: Any) -> Callable[[], None]:
        """A function that runs it once; without a plan, by the extension's own."""
        shape = workload.shape
        x = np.zeros((workload.steps, workload.batch, shape.input_size), np.float32)
        y = np.empty((workload.steps, workload.batch, shape.output_size), np.float32)
        stack, wanted = self._stack, plan and extension_plan(self._extension, plan)
        return lambda: stack.run(pool, x, y, plan=wanted)


def extension_plan(extension: ModuleType, plan: CpuPlan) -> Any:
    """The extension's `Plan` of the same meaning."""
    return extension.Plan(
        threads=plan.threads,
        split=plan.split.value,
        rows_per_block=plan.rows_per_block,
        chunk_rows=plan.chunk_rows,
    )


def cpu_constants(
    extension: ModuleType, threads: int, folder: Path | None = None, *, fresh: bool = False
) -> CpuConstants:
    """This machine's constants: from the file if it holds them, else measured and kept.

    Args:
        extension: ``nexus_cpu_kernels``.
        threads: The most that a plan may use.
        folder: Where the file lies; None is the user's cache.
        fresh: Measure anew, whatever the file says.
    """
    found = None if fresh else kept_constants(extension, threads, folder)
    if found is not None:
        return found
    constants = measure(extension, threads)
    save(cpu_identity(extension, threads), constants.to_data(), folder)
    return constants


def kept_constants(
    extension: ModuleType, threads: int, folder: Path | None = None
) -> CpuConstants | None:
    """Those on disk, or None: for a process that serves, and cannot stop for two seconds."""
    return load(cpu_identity(extension, threads), CpuConstants.from_data, folder)


def cpu_identity(extension: ModuleType, threads: int) -> Identity:
    """What the constants depend on."""
    return Identity(
        "cpu",
        {
            "cpu": cpu_model(),
            "extension": _digest(extension),
            "instructions": extension.features()[0],
            "threads": str(threads),
        },
    )


def measure(
    extension: ModuleType,
    threads: int,
    *,
    budget_ns: int = BUDGET_NS,
    clock: Clock = time.perf_counter_ns,
) -> CpuConstants:
    """Take the constants now."""
    instructions = instruction_set(extension.features()[0])
    wanted = tuple(dict.fromkeys(probes(instructions, threads, PRECISIONS)))
    with extension.Pool(threads) as pool:
        stacks = {one: RunnableStack(extension, one, one.precision) for one in _stacks_of(wanted)}
        runs = {
            probe: stacks[_stack_of(probe)].runner(probe.workload, probe.plan, pool)
            for probe in wanted
        }
        times = shortest(runs, budget_ns, clock)
    return constants_from(times, instructions, threads, PRECISIONS, l2_bytes() // 2)


def shortest(runs: Mapping[T, Callable[[], None]], budget_ns: int, clock: Clock) -> dict[T, float]:
    """The shortest time of each in nanoseconds; each gets the same part of the budget, in turns."""
    timed = [_Timed(run) for run in runs.values()]
    end_ns = clock() + budget_ns
    while clock() < end_ns or not min(one.spent_ns for one in timed):
        min(timed, key=lambda one: one.spent_ns).take_turn(clock)
    return {probe: one.shortest_ns for probe, one in zip(runs, timed, strict=True)}


@dataclass(slots=True)
class _Timed:
    """A run and its shortest time so far."""

    run: Callable[[], None]
    shortest_ns: float = float("inf")
    spent_ns: int = 0

    def take_turn(self, clock: Clock) -> None:
        run, begin_ns, tries = self.run, clock(), 0
        while tries < TRIES_PER_TURN or clock() - begin_ns < TURN_NS:
            started_ns = clock()
            run()
            self.shortest_ns = min(self.shortest_ns, clock() - started_ns)
            tries += 1
        self.spent_ns += clock() - begin_ns


def cpu_model(info: Path = CPU_INFO) -> str:
    """Name, family, model and stepping; the architecture where the system does not tell."""
    wanted = ("model name", "vendor_id", "cpu family", "model", "stepping")
    try:
        lines = info.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return os.uname().machine
    fields = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return (
        ", ".join(f"{name} {fields[name]}" for name in wanted if name in fields)
        or os.uname().machine
    )


def l2_bytes(size: Path = L2_FOLDER) -> int:
    """The second-level cache of one core."""
    try:
        text = size.read_text(encoding="ascii").strip()
        return int(text.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return L2_BYTES_UNKNOWN


def _digest(extension: ModuleType) -> str:
    """Of its machine code: another build may have other kernels."""
    native = import_module(f"{extension.__name__}._native").__file__
    return hashlib.sha256(Path(str(native)).read_bytes()).hexdigest()[:16]


def _stack_of(probe: Probe) -> Workload:
    return Workload(probe.shape, 1, 1, probe.workload.precision)


def _stacks_of(wanted: Sequence[Probe]) -> Iterator[Workload]:
    yield from dict.fromkeys(_stack_of(probe) for probe in wanted)
