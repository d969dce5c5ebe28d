"""The cost model of the CPU's recurrent kernels against what is measured.

At each point every plan is timed in turns with the others, and the shortest time of each counts.
Two promises: the plan that the model picks is within 10 % of the fastest, and its predicted time
within 15 % of the measured. Beside them, what a pick costs.

    python -m benchmarks.grnn_model             a third of the grid, some minutes
    python -m benchmarks.grnn_model --full      hidden 64-1024, batch 1-32, 25 and 100 steps
    python -m benchmarks.grnn_model --hidden 64 --batch 1 2
"""

import argparse
import gc
import itertools
import json
import math
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import Any

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_cost import predict
from nexus.backend.kernels.model.cpu_measurement import RunnableStack, cpu_constants, cpu_model
from nexus.backend.kernels.model.cpu_plan import CpuPlan
from nexus.backend.kernels.model.cpu_planner import candidates, decide
from nexus.backend.kernels.model.workload import Workload

PICK_LIMIT, PREDICTION_LIMIT, DECISION_LIMIT_MS = 0.10, 0.15, 5.0
HOPELESS = 1.5
"""A plan so many times slower than the best so far is not tried again."""
TURNS = 5
"""At least, of each plan that is not hopeless."""
BLOCKS = (0, 2)
"""Rows in registers at once: as many as fit, and fewer. The planner never takes fewer."""


Runs = dict[CpuPlan | None, Callable[[], None]]
"""None: without a plan."""


@dataclass(frozen=True, slots=True)
class Point:
    """One workload: its picked plan, and the fastest of all."""

    workload: Workload
    picked: str
    picked_us: float
    best: str
    best_us: float
    predicted_us: float
    unplanned_us: float
    """By the extension's own rules of thumb."""
    decision_ms: float

    @property
    def loss(self) -> float:
        """How much slower the pick is than the best."""
        return self.picked_us / self.best_us - 1

    @property
    def error(self) -> float:
        """Of the predicted time, relative to the measured."""
        return self.predicted_us / self.picked_us - 1


def grid(options: argparse.Namespace) -> Iterator[Workload]:
    """The points, small ones first."""
    for hidden, layers, name, batch, steps in itertools.product(
        options.hidden, options.layers, options.cell, options.batch, options.steps
    ):
        shape = StackShape(Cell(name), hidden, hidden, layers)
        yield Workload(shape, batch, steps, Precision(options.precision))


def measure_point(
    extension: ModuleType, pool: Any, workload: Workload, constants: CpuConstants, seconds: float
) -> Point:
    """Time every plan of one workload."""
    decision, decision_ms = _decided(workload, constants)
    picked = decision.chosen.configuration
    plans = {
        replace(plan, rows_per_block=rows)
        for plan in candidates(workload, constants)
        for rows in BLOCKS
    }
    stacks = {
        precision: RunnableStack(extension, workload, precision)
        for precision in {plan.precision for plan in plans}
    }
    runs: Runs = {plan: stacks[plan.precision].runner(workload, plan, pool) for plan in plans}
    runs[None] = stacks[workload.precision].runner(workload, None, pool)
    times = interleaved(runs, seconds, keep={picked, None})
    unplanned_us = times.pop(None)
    best = min(times, key=times.__getitem__)
    return Point(
        workload=workload,
        picked=str(picked),
        picked_us=times[picked],
        best=str(best),
        best_us=times[best],
        predicted_us=predict(workload, picked, constants).total_us,
        unplanned_us=unplanned_us,
        decision_ms=decision_ms,
    )


def interleaved(
    runs: Runs, seconds: float, keep: Collection[CpuPlan | None]
) -> dict[CpuPlan | None, float]:
    """The shortest time of each plan in us; hopeless ones drop out after their first two tries."""
    times = dict.fromkeys(runs, float("inf"))
    alive = list(runs)
    end, turn = time.perf_counter() + seconds, 0
    while turn < TURNS or time.perf_counter() < end:
        for plan in alive:
            run = runs[plan]
            for _ in range(2):  # the first finds the caches as another plan left them
                started = time.perf_counter_ns()
                run()
                times[plan] = min(times[plan], (time.perf_counter_ns() - started) / 1e3)
        bound = HOPELESS * min(times.values())
        alive = [plan for plan in alive if times[plan] <= bound or plan in keep]
        turn += 1
    return times


def report(points: Sequence[Point], worst: int) -> None:
    """What was promised, what was found, and the points farthest from it."""
    picks = sorted(points, key=lambda point: -point.loss)
    errors = sorted(points, key=lambda point: -abs(point.error))
    slowest = max(point.decision_ms for point in points)
    print(f"\n{len(points)} points on {cpu_model()}, load average {os.getloadavg()[0]:.1f}")
    _judge("picks within 10 % of the fastest", [p.loss for p in picks], PICK_LIMIT)
    _judge("predictions within 15 %", [abs(p.error) for p in errors], PREDICTION_LIMIT)
    gains = [math.log(point.unplanned_us / point.picked_us) for point in points]
    gain = math.exp(sum(gains) / len(gains))
    print(f"against the extension's own rules: {gain:.2f} x as fast (geometric mean)")
    print(f"a pick costs at most {slowest:.2f} ms (promised: {DECISION_LIMIT_MS:.0f})")
    print("\nworst picks")
    for point in picks[:worst]:
        print(f"  {point.loss:+6.1%}  {point.workload}: {point.picked} {point.picked_us:.0f} us")
        print(f"           {point.best} {point.best_us:.0f} us")
    print("worst predictions")
    for point in errors[:worst]:
        times = f"{point.predicted_us:.0f} us for {point.picked_us:.0f} us"
        print(f"  {point.error:+6.1%}  {point.workload}: {times}, {point.picked}")


def _judge(what: str, figures: list[float], limit: float) -> None:
    within = sum(figure <= limit for figure in figures)
    middle = sorted(figures)[len(figures) // 2]
    print(f"{what}: {within} of {len(figures)}, worst {max(figures):.1%}, median {middle:.1%}")


def _decided(workload: Workload, constants: CpuConstants) -> tuple[Any, float]:
    """The decision, and the shortest of three times that it took."""
    shortest_ns = 1 << 62
    for _ in range(3):
        started = time.perf_counter_ns()
        decision = decide(workload, constants)
        shortest_ns = min(shortest_ns, time.perf_counter_ns() - started)
    return decision, shortest_ns / 1e6


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    try:
        import nexus_cpu_kernels as extension  # noqa: PLC0415 - may not be installed
    except ImportError:
        print("nexus_cpu_kernels is not installed: pip install ./backend/cpu_kernels")
        return
    points = []
    with extension.Pool(options.threads) as pool:
        for _, group in itertools.groupby(grid(options), lambda one: one.shape):
            # As close in time as can be: a virtual machine's cores are not always as fast.
            constants = cpu_constants(extension, options.threads, fresh=not options.kept)
            for workload in group:
                point = measure_point(extension, pool, workload, constants, options.seconds)
                points.append(point)
                gc.collect()
                print(f"{workload}: {point.loss:+.1%} {point.error:+.1%}", flush=True)
    if options.json:
        rows = [asdict(point) | {"workload": str(point.workload)} for point in points]
        with open(options.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump({"cpu": cpu_model(), "system": platform.platform(), "points": rows}, file)
    report(points, options.worst)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="the whole grid")
    parser.add_argument("--hidden", type=int, nargs="+", metavar="N")
    parser.add_argument("--batch", type=int, nargs="+", metavar="N")
    parser.add_argument("--steps", type=int, nargs="+", metavar="N")
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--cell", nargs="+", default=["lstm", "gru"])
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--seconds", type=float, default=0.5, help="at least, for each point")
    parser.add_argument("--worst", type=int, default=5, help="how many are printed")
    parser.add_argument(
        "--kept", action="store_true", help="use the constants on disk; else anew for each stack"
    )
    parser.add_argument("--json", metavar="FILE", help="also write every point")
    options = parser.parse_args(arguments)
    options.hidden = options.hidden or ([64, 128, 256, 512, 1024] if options.full else [64, 256])
    options.batch = options.batch or ([1, 2, 4, 8, 16, 32] if options.full else [1, 2, 8, 32])
    options.steps = options.steps or ([25, 100] if options.full else [25])
    return options


if __name__ == "__main__":
    main()
