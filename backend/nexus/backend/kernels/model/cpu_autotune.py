"""Timing the model's best three plans once, and remembering the fastest for this machine.

The model is right within some percent, so the fastest plan is almost surely among its first three:
three runs find it where dozens would otherwise be needed.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.model.constants_file import Identity, load, save
from nexus.backend.kernels.model.cpu_measurement import RunnableStack, cpu_identity, shortest
from nexus.backend.kernels.model.cpu_plan import CpuPlan, Split
from nexus.backend.kernels.model.decision import Decision
from nexus.backend.kernels.model.workload import Workload

FINALISTS = 3
BUDGET_NS = 150_000_000
Clock = Callable[[], int]


def tuned_plan(
    extension: ModuleType,
    threads: int,
    workload: Workload,
    decision: Decision[CpuPlan],
    folder: Path | None = None,
) -> CpuPlan:
    """The plan remembered for this machine and workload, else the fastest of the best three.

    Args:
        extension: ``nexus_cpu_kernels``.
        threads: Those that the decision was made for.
        workload: What is to be run.
        decision: The model's ranking.
        folder: Where choices are kept; None is the user's cache.
    """
    machine = cpu_identity(extension, threads)
    identity = Identity("tuned", {**machine.fields, "workload": str(workload)})
    found = load(identity, plan_from_data, folder)
    if found is not None:
        return found
    times = finalists_us(extension, threads, workload, decision)
    fastest = min(times, key=times.__getitem__)
    save(identity, plan_to_data(fastest), folder)
    return fastest


def finalists_us(
    extension: ModuleType,
    threads: int,
    workload: Workload,
    decision: Decision[CpuPlan],
    *,
    budget_ns: int = BUDGET_NS,
    clock: Clock = time.perf_counter_ns,
) -> dict[CpuPlan, float]:
    """The shortest time of each of the best three in microseconds, best ranked first."""
    plans = [one.configuration for one in decision.ranked[:FINALISTS]]
    with extension.Pool(threads) as pool:
        runs = {
            plan: RunnableStack(extension, workload, plan.precision).runner(workload, plan, pool)
            for plan in plans
        }
        times = shortest(runs, budget_ns, clock)
    return {plan: time_ns / 1000 for plan, time_ns in times.items()}


def plan_to_data(plan: CpuPlan) -> dict[str, Any]:
    """Plain data for a file."""
    return {
        "precision": plan.precision.value,
        "threads": plan.threads,
        "split": plan.split.value,
        "rows_per_block": plan.rows_per_block,
        "chunk_rows": plan.chunk_rows,
    }


def plan_from_data(data: Mapping[str, Any]) -> CpuPlan:
    """The reverse; raise KeyError, TypeError or ValueError on anything else."""
    counts = {name: int(data[name]) for name in ("threads", "rows_per_block", "chunk_rows")}
    if min(counts["threads"], counts["chunk_rows"]) < 1 or counts["rows_per_block"] < 0:
        raise ValueError(f"counts {counts}")
    return CpuPlan(Precision(data["precision"]), split=Split(data["split"]), **counts)
