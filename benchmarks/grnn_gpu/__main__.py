"""Recurrent layers on a GPU: built, checked and timed against torch.nn (cuDNN), in one run.

    python -m benchmarks.grnn_gpu                        # everything, some minutes
    python -m benchmarks.grnn_gpu --quick --only check   # correctness alone
    python -m benchmarks.grnn_gpu --json out.json --plot out.svg

Three parts. *check*: every cell, precision, direction, depth and raggedness against the float64
oracle; then many repeats of a launch with each exchange, outputs poisoned before each, which must
agree to the last bit. *tune*: the configurations that the estimate ranks first, all timed, to see
whether it ranks them well. *time*: against torch.nn in this process, eager and as a CUDA graph,
ragged batches packed as torch wants them; median microseconds of the whole sequence, in turns.
Without a GPU it says so and measures nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from benchmarks.grnn_gpu.checks import check_point, check_repeats, exchanges_of, named
from benchmarks.grnn_gpu.clock import Clock, GpuClock
from benchmarks.grnn_gpu.contenders import Inputs, Launches, Library
from benchmarks.grnn_gpu.points import CHECKED, POINTS, QUICK, Point
from nexus.backend.kernels.cuda.choice import Demand, candidates
from nexus.backend.kernels.cuda.cuda_runner import LimitedLauncher, plan_stages
from nexus.backend.kernels.cuda.driver import driver_present
from nexus.backend.kernels.cuda.gpu_launcher import GpuLauncher
from nexus.backend.kernels.cuda.persistent_layer import PATIENCE_TICKS
from nexus.core.errors import NexusError
from nexus.drawing.axis import Axis
from nexus.drawing.column_chart import ColumnChart, Columns, column_chart_svg
from nexus.drawing.frame import Mark

REPEATS, REPEATS_QUICK = 1_000, 50
QUICK_SHARE = 5
"""One of so many points is checked in a quick run."""
TUNED = 5
"""Configurations of each layer that are timed."""
PLOTTED = 12


@dataclass(frozen=True)
class Machine:
    """Where it runs, and what tells the time there."""

    launcher: LimitedLauncher
    clock: Clock
    patience_ticks: int = PATIENCE_TICKS


def check(machine: Machine, points: Sequence[Point], repeats: int) -> Iterator[str]:
    """Lines, each beginning with ``ok`` or ``FAILED``."""
    for point in points:
        yield _said(point, lambda p=point: check_point(p, machine.launcher, machine.patience_ticks))
    for point in (points[0], points[-1]):
        for choice in exchanges_of(point, machine.launcher):
            yield _said(
                point,
                lambda p=point, c=choice: check_repeats(
                    p, c, machine.launcher, machine.patience_ticks, repeats
                ),
            )


def tune(machine: Machine, points: Sequence[Point]) -> Iterator[str]:
    """For each single layer, estimated cycles and measured time of a step of several choices."""
    for point in points:
        if point.layers > 1 or point.bidirectional or point.ragged:
            continue
        demand = Demand(point.cell, point.precision, point.hidden, point.hidden, point.batch)
        found = candidates(demand, machine.launcher.limits)
        for choice in nsmallest(TUNED, found, key=lambda choice: choice.step_cycles):
            try:
                launches = Launches(
                    Inputs.random(point), [(0, choice)], machine.launcher, machine.patience_ticks
                )
                us = machine.clock.medians_us({"": launches.start})[""]
                launches.check()
            except NexusError as error:
                yield f"FAILED  {point.label} {named(choice.configuration)}: {error}"
                continue
            yield (
                f"{point.label:24} {us / point.steps:7.3f} us a step, estimated "
                f"{choice.step_cycles:6.0f} cycles {named(choice.configuration)}"
            )


def measure(machine: Machine, point: Point) -> dict[str, Any]:
    """Median microseconds of a whole sequence, by contender."""
    launcher, inputs = machine.launcher, Inputs.random(point)
    stages = plan_stages(point.shape, point.precision, point.batch, launcher.limits)
    library = Library(inputs, launcher.device)
    calls = {"torch": library.start, "torch graph": machine.clock.graphed(library.start)}
    if stages:
        launches = Launches(inputs, stages, launcher, machine.patience_ticks)
        calls["nexus"] = launches.start
        calls["nexus graph"] = machine.clock.graphed(launches.start_afresh)
    row: dict[str, Any] = {"point": point.label, "steps": point.steps, "expected": point.expected}
    row |= {name: round(us, 2) for name, us in machine.clock.medians_us(calls).items()}
    if stages:
        launches.check()
        row["configurations"] = [named(configuration) for configuration in launches.configurations]
        ours = min(row["nexus"], row["nexus graph"])
        row["us_per_step"] = round(ours / point.steps, 3)
        row["speed_up"] = round(row["torch"] / row["nexus"], 2)
        row["speed_up_best"] = round(min(row["torch"], row["torch graph"]) / ours, 2)
    return row


def time_points(machine: Machine, points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """A row for each point; one that fails has an ``error``."""
    for point in points:
        try:
            yield measure(machine, point)
        except (NexusError, RuntimeError) as error:
            yield {"point": point.label, "error": str(error)}


def table_line(row: dict[str, Any]) -> str:
    """A row of the printed table."""
    if "error" in row:
        return f"FAILED  {row['point']}: {row['error']}"
    if "nexus" not in row:
        return f"{row['point']:34} cuDNN serves it: {row['torch']:9.1f} us"
    return (
        f"{row['point']:34} torch {row['torch']:9.1f} graph {row['torch graph']:9.1f} | nexus "
        f"{row['nexus']:8.1f} graph {row['nexus graph']:8.1f} us = {row['us_per_step']:6.3f} a "
        f"step | {row['speed_up']:5.2f}x, best against best {row['speed_up_best']:5.2f}x "
        f"(expected {row['expected'] or '-'})"
    )


def plot(rows: Sequence[dict[str, Any]], device: str) -> str:
    """Speed-ups as an SVG picture."""
    shown = [row for row in rows if "speed_up" in row][:PLOTTED]
    chart = ColumnChart(
        title="Recurrent layers against torch.nn (cuDNN)",
        subtitle=f"{device}: median time of a sequence, ratio; above 1 is faster",
        axis=Axis(title="speed-up"),
        groups=tuple(row["point"].removeprefix("lstm ") for row in shown),
        series=(
            Columns("as called", tuple(row["speed_up"] for row in shown)),
            Columns("best against best", tuple(row["speed_up_best"] for row in shown)),
        ),
        levels=(Mark(1.0, "torch.nn"),),
    )
    return column_chart_svg(chart)


def report(machine: Machine, arguments: argparse.Namespace) -> int:
    """Print the parts that are asked for; 1 if anything failed."""
    failed = 0
    checked = CHECKED[::QUICK_SHARE] if arguments.quick else CHECKED
    points = QUICK if arguments.quick else POINTS
    lines: list[Iterator[str]] = []
    if arguments.only in {"", "check"}:
        lines.append(check(machine, checked, REPEATS_QUICK if arguments.quick else REPEATS))
    if arguments.only in {"", "tune"}:
        lines.append(tune(machine, points))
    for line in chain.from_iterable(lines):
        failed += line.startswith("FAILED")
        print(line, flush=True)
    rows = []
    if arguments.only in {"", "time"}:
        for row in time_points(machine, points):
            rows.append(row)
            failed += "error" in row
            print(table_line(row), flush=True)
    _write(rows, machine.launcher.limits.name, arguments)
    print(f"{failed} failed" if failed else "all is well")
    return 1 if failed else 0


def main(words: Sequence[str] | None = None) -> int:
    """Run on this machine's first GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few points, fewer repeats")
    parser.add_argument("--only", choices=["check", "tune", "time"], default="")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    arguments = parser.parse_args(words)
    if not driver_present() or not torch.cuda.is_available():
        print("nothing is measured: no NVIDIA driver here, or a torch built without CUDA")
        return 0
    # What fp32 means must be the same for both.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    launcher = GpuLauncher()
    print(f"{launcher.limits}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    return report(Machine(launcher, GpuClock()), arguments)


def _said(point: Point, checking: Any) -> str:
    try:
        line: str = checking()
    except (NexusError, RuntimeError) as error:
        return f"FAILED  {point.label}: {error}"
    return line


def _write(rows: list[dict[str, Any]], device: str, arguments: argparse.Namespace) -> None:
    if arguments.json and rows:
        text = json.dumps({"device": device, "rows": rows}, indent=1)
        arguments.json.write_text(text + "\n")
    if arguments.plot and rows:
        arguments.plot.write_text(plot(rows, device))


if __name__ == "__main__":
    sys.exit(main())
