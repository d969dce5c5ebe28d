"""Decisions on recurrent kernels for people and for programs: pure functions to lines and data."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from nexus.backend.kernels.model.cost import Cost
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_plan import CpuPlan
from nexus.backend.kernels.model.decision import Decision, Ranked
from nexus.backend.kernels.model.gpu import Gpu
from nexus.backend.kernels.model.gpu_planner import GpuDecision, GpuPlan
from nexus.backend.kernels.model.workload import Workload
from nexus.cli.output import table_lines

T = TypeVar("T")


def cpu_lines(
    workload: Workload,
    decision: Decision[CpuPlan],
    constants: CpuConstants,
    timed: Mapping[CpuPlan, float],
    runners_up: int,
) -> list[str]:
    """The choice, its cost, those behind it, and what the machine's constants are."""
    step_us = decision.chosen.cost.total_us / workload.steps
    rates = constants.together if constants.threads > 1 else constants.alone
    near, far = max(rates.bytes_per_ns), rates.bytes_per_ns[-1]
    multiply_ns = constants.vectors[decision.chosen.configuration.precision].row_ns
    times = [(str(plan), round(time_us, 1)) for plan, time_us in timed.items()]
    arithmetic = f"{multiply_ns:.2f} ns a vector of multiply-adds"
    return [
        "",
        *_decision_lines(decision, runners_up),
        *(["", *table_lines(["timed now", "us"], times)] if times else []),
        "",
        f"{step_us:.2f} us a step. Measured on this machine ({constants.instructions}):",
        f"  {arithmetic}, {near:.0f} GB/s a thread from L2, {far:.0f} from memory,",
        f"  {constants.exchange_ns:.0f} ns an exchange, {constants.call_ns / 1e3:.1f} us a call",
    ]


def gpu_lines(decision: GpuDecision, gpu: Gpu, runners_up: int) -> list[str]:
    """The same for each kind of layer, and which constants nobody has measured."""
    other = "" if decision.other_us is None else f"; the other way {decision.other_us:.1f} us"
    lines = [f"{decision.cost.total_us:.1f} us, {decision.form.value}{other}"]
    for stage in decision.stages:
        times = f" (x {stage.repeats})" if stage.repeats > 1 else ""
        lines += ["", f"{stage.name}{times}", *_decision_lines(stage.decision, runners_up)]
    return [*lines, "", unmeasured(gpu)]


def unmeasured(gpu: Gpu) -> str:
    """One sentence on what the times rest on."""
    estimated = gpu.constants.estimated
    if not estimated:
        return f"every constant was measured on {gpu.name}"
    which = "no constant" if not gpu.constants.measured else f"not {', '.join(estimated)}"
    return f"ESTIMATES: {which} was measured on {gpu.name}; the order may hold, times may not"


def cpu_json(
    workload: Workload,
    decision: Decision[CpuPlan],
    constants: CpuConstants,
    timed: Mapping[CpuPlan, float],
    runners_up: int,
) -> dict[str, Any]:
    """What `cpu_lines` says, as data."""
    return {
        "workload": str(workload),
        "device": "cpu",
        "measured": True,
        **_decision_data(decision, runners_up),
        "timed_us": {str(plan): round(time_us, 3) for plan, time_us in timed.items()},
        "constants": constants.to_data(),
    }


def gpu_json(
    workload: Workload, decision: GpuDecision, gpu: Gpu, runners_up: int
) -> dict[str, Any]:
    """What `gpu_lines` says, as data."""
    return {
        "workload": str(workload),
        "device": gpu.name,
        "measured": not gpu.constants.estimated,
        "estimated_constants": list(gpu.constants.estimated),
        "form": decision.form.value,
        "total_us": round(decision.cost.total_us, 3),
        "other_form_us": decision.other_us,
        "stages": [
            {"name": stage.name, "repeats": stage.repeats}
            | _decision_data(stage.decision, runners_up)
            for stage in decision.stages
        ],
    }


def _decision_lines(decision: Decision[T], runners_up: int) -> list[str]:
    chosen = decision.chosen
    total = chosen.cost.total_us
    shown = _shown(decision, runners_up)
    rows = [
        (place, str(one.configuration), round(one.cost.total_us, 1), _behind(one, chosen))
        for place, one in shown
    ]
    terms = [
        (term.name, round(term.time_us, 1), f"{term.time_us / total:4.0%}", term.why)
        for term in chosen.cost.terms
    ]
    lines = table_lines(["", "configuration", "us", "why not"], rows)
    lines += ["", *table_lines(["cost of 1", "us", "", "what it is"], terms)]
    if decision.pruned:
        left_out = [(one.count, one.limit, one.example) for one in decision.pruned]
        lines += ["", *table_lines(["left out", "by", "for example"], left_out)]
    return lines


def _shown(decision: Decision[T], runners_up: int) -> list[tuple[int, Ranked[T]]]:
    """The first, those behind it, and cuDNN wherever it is."""
    numbered = list(enumerate(decision.ranked, start=1))
    library = [(place, one) for place, one in numbered if one.configuration == GpuPlan(None)]
    first = numbered[: 1 + max(runners_up, 0)]
    return first + [entry for entry in library if entry not in first]


def _behind(one: Ranked[T], chosen: Ranked[T]) -> str:
    """The terms that it pays more for than the choice, the largest first."""
    if one is chosen:
        return f"mostly {chosen.cost.largest.name}"
    more = sorted(_extras(one.cost, chosen.cost), key=lambda entry: -entry[1])
    said = ", ".join(f"{name} {extra_us:+.1f}" for name, extra_us in more[:2])
    return said or "a tie"


def _extras(cost: Cost, chosen: Cost) -> Iterator[tuple[str, float]]:
    known = {term.name: term.time_us for term in chosen.terms}
    for term in cost.terms:
        extra_us = term.time_us - known.get(term.name, 0.0)
        if extra_us >= 0.05:  # noqa: PLR2004 - what one decimal shows
            yield term.name, extra_us


def _decision_data(decision: Decision[T], runners_up: int) -> dict[str, Any]:
    return {
        "ranked": [
            {
                "place": place,
                "configuration": str(one.configuration),
                "total_us": round(one.cost.total_us, 3),
                "terms_us": {term.name: round(term.time_us, 3) for term in one.cost.terms},
            }
            for place, one in _shown(decision, runners_up)
        ],
        "candidates": len(decision.ranked),
        "pruned": [
            {"limit": one.limit, "count": one.count, "example": one.example}
            for one in decision.pruned
        ],
    }
