"""``nexus kernels explain``: which kernel a recurrent stack would run on, and why."""

import argparse
import os
from pathlib import Path

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model import cpu_planner, gpu_planner
from nexus.backend.kernels.model.gpu import KNOWN, Gpu, known_gpu, with_constants_of
from nexus.backend.kernels.model.workload import Workload
from nexus.cli.kernels_view import cpu_json, cpu_lines, gpu_json, gpu_lines
from nexus.cli.output import print_json
from nexus.core.errors import FailedPreconditionError

CPU = "cpu"
THREADS_DEFAULT_MAX = 8
"""Beyond these, exchanging h at every step outweighs what one more thread does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--device", default=CPU, help=f"cpu or {', '.join(sorted(KNOWN))}")
    parser.add_argument("--cell", choices=[cell.value for cell in Cell], default="lstm")
    parser.add_argument("--hidden", type=int, required=True, metavar="N", help="width of a layer")
    parser.add_argument("--input", type=int, metavar="N", help="width of the input (default: same)")
    parser.add_argument("--layers", type=int, default=1, metavar="N")
    parser.add_argument("--bidirectional", action="store_true")
    parser.add_argument("--batch", type=int, default=1, metavar="N")
    parser.add_argument("--steps", type=int, default=100, metavar="N")
    parser.add_argument("--precision", choices=[one.value for one in Precision], default="fp32")
    parser.add_argument("--threads", type=int, metavar="N", help="of the CPU (default: its cores)")
    parser.add_argument(
        "--constants", type=Path, metavar="FILE", help="what was measured on such a GPU"
    )
    parser.add_argument("--time", action="store_true", help="also time the best three on this CPU")
    parser.add_argument("--runners-up", type=int, default=4, metavar="N")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Decide as a load would, and print it."""
    workload = Workload(
        StackShape(
            Cell(arguments.cell),
            arguments.input or arguments.hidden,
            arguments.hidden,
            arguments.layers,
            arguments.bidirectional,
        ),
        arguments.batch,
        arguments.steps,
        Precision(arguments.precision),
    )
    if arguments.device == CPU:
        return _explain_cpu(workload, arguments)
    gpu = known_gpu(arguments.device)
    if arguments.constants is not None:
        gpu = with_constants_of(gpu, arguments.constants)
    return _explain_gpu(workload, gpu, arguments)


def _explain_cpu(workload: Workload, arguments: argparse.Namespace) -> int:
    from nexus.backend.kernels.model.cpu_autotune import finalists_us  # noqa: PLC0415 - needs numpy
    from nexus.backend.kernels.model.cpu_measurement import (  # noqa: PLC0415 - needs numpy
        cpu_constants,
    )

    try:
        import nexus_cpu_kernels as extension  # noqa: PLC0415 - may not be installed
    except ImportError as error:
        raise FailedPreconditionError(
            "the CPU's kernels are not installed, onnxruntime serves recurrent layers: "
            "pip install ./backend/cpu_kernels (it needs a C++ compiler)",
            reason="no_extension",
        ) from error
    threads = arguments.threads or min(len(os.sched_getaffinity(0)), THREADS_DEFAULT_MAX)
    constants = cpu_constants(extension, threads)
    decision = cpu_planner.decide(workload, constants)
    timed = finalists_us(extension, threads, workload, decision) if arguments.time else {}
    if arguments.json:
        print_json(cpu_json(workload, decision, constants, timed, arguments.runners_up))
    else:
        lines = cpu_lines(workload, decision, constants, timed, arguments.runners_up)
        print("\n".join([f"{workload} on this CPU", *lines]))
    return 0


def _explain_gpu(workload: Workload, gpu: Gpu, arguments: argparse.Namespace) -> int:
    decision = gpu_planner.decide(workload, gpu, pruned=True)
    if arguments.json:
        print_json(gpu_json(workload, decision, gpu, arguments.runners_up))
    else:
        lines = gpu_lines(decision, gpu, arguments.runners_up)
        print("\n".join([f"{workload} on {gpu.name}", *lines]))
    return 0
