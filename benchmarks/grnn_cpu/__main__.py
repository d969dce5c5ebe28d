"""``python -m benchmarks.grnn_cpu``: recurrent layers on this CPU against the libraries.

The whole grid is 240 points and takes about 20 minutes on two cores; ``--quick`` 18 points and one.
OpenVINO is installed for it alone: ``pip install -r benchmarks/requirements-grnn.txt``.
"""

import argparse
import json
import os
import platform
import random
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.grnn_cpu.contenders import contenders, largest_error
from benchmarks.grnn_cpu.machine import Machine, measure_machine
from benchmarks.grnn_cpu.page import page
from benchmarks.grnn_cpu.regimes import Point, grid, regime_of
from benchmarks.grnn_cpu.results import Measured
from benchmarks.grnn_cpu.single_steps import step_contenders, step_grid
from benchmarks.grnn_cpu.timing import medians_us
from nexus.backend.kernels.choose_runner import cpu_features

LIBRARIES = ("torch", "onnxruntime", "openvino", "numpy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the page, and keep it where asked."""
    given = _parser().parse_args(arguments)
    before = os.getloadavg()[0]
    machine = measure_machine()
    points = [p for p in grid(quick=given.quick) if given.only in regime_of(p).name]
    if given.points:
        points = random.Random(given.seed).sample(points, min(given.points, len(points)))  # noqa: S311 - a sample of points
    sequences = [_sequence(p, machine, given) for p in points]
    steps = [_step(p, given.budget) for p in step_grid(quick=given.quick)] if given.steps else []
    about = _about(loads=(before, os.getloadavg()[0]))
    text = page(machine, about, sequences, steps)
    print(text)
    if given.page:
        given.page.write_text(text)
    if given.json:
        found = [{**asdict(one), "point": _plain(one.point)} for one in (*sequences, *steps)]
        given.json.write_text(
            json.dumps({"about": about, "machine": asdict(machine), "measured": found}, indent=1)
        )


def _sequence(point: Point, machine: Machine, given: argparse.Namespace) -> Measured:
    calls, wanted = contenders(point, compiled=given.compile)
    errors = {name: largest_error(call(), wanted) for name, call in calls.items()}
    measured = Measured(point, medians_us(calls, given.budget), errors, machine.limit_us(point))
    print(f"{_plain(point)} {measured.ratio:.2f} {measured.bf16_ratio:.2f}", flush=True)
    return measured


def _step(point: Point, budget_s: float) -> Measured:
    measured = Measured(point, medians_us(step_contenders(point), budget_s))
    print(f"step {_plain(point)} {measured.ratio:.2f}", flush=True)
    return measured


def _plain(point: Point) -> dict[str, str | int]:
    return {**asdict(point), "cell": point.cell.value}


def _about(loads: tuple[float, float]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.machine()
    kernels = (cpu_features() or ("none",))[0]
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, kernels "
        f"{kernels}, {versions}. Load average {loads[0]:.1f} to {loads[1]:.1f}."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="18 points")
    parser.add_argument("--only", default="", help="points whose regime's name holds this")
    parser.add_argument("--points", type=int, default=0, help="so many of them, at random")
    parser.add_argument("--seed", type=int, default=0, help="of that choice")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds a point, about")
    parser.add_argument("--compile", action="store_true", help="torch.compile too: minutes a point")
    parser.add_argument("--no-steps", dest="steps", action="store_false", help="sequences only")
    parser.add_argument("--page", type=Path, help="write the page there")
    parser.add_argument("--json", type=Path, help="write the data there")
    return parser


if __name__ == "__main__":
    main()
