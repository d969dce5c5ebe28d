"""The results as a page of markdown."""

from collections.abc import Iterator, Sequence

from benchmarks.grnn_cpu.machine import Machine
from benchmarks.grnn_cpu.regimes import (
    CELLS,
    POINT_MIN,
    REGIMES,
    STEP_GOALS,
    Goal,
    Point,
    regime_of,
)
from benchmarks.grnn_cpu.results import (
    OURS,
    OURS_BF16,
    OURS_STRICT,
    PEERS,
    PEERS_BF16,
    Measured,
    geometric_mean,
)
from nexus.backend.kernels.cell import Cell

PREFACE = """# Recurrent layers on a CPU

Made by `python -m benchmarks.grnn_cpu --page docs/kernels-cpu.md`; every figure is of this one run.

At each point all contenders take turns in one process, and their medians are compared: the fastest
of the libraries (torch.nn, onnxruntime, OpenVINO, at one and two threads) over the fastest of ours.
A ratio of 2 means half the time. Ours are timed through `CpuRunner.run`, Python included; in fp32
they may use 3-byte weights at batch 1-2 (`strict` is without them). The share is that of a lower
bound: inputs projected at the speed of a large matrix product, then each step's products or the
reading of its weights, whichever takes longer, both measured in the same run.
"""


def page(
    machine: Machine, about: str, sequences: Sequence[Measured], steps: Sequence[Measured]
) -> str:
    """All of it."""
    parts = [PREFACE, f"{about}\n", _limits(machine)]
    if sequences:
        parts += ["## Regimes, fp32\n", _table(FP32_HEAD, _regimes(sequences))]
        parts += ["## Regimes, bf16 against bf16\n", _table(BF16_HEAD, _bf16_regimes(sequences))]
        parts += [_worst(sequences)]
    if steps:
        parts += ["## One step a call\n", _table(STEP_HEAD, _steps(steps))]
    for cell in CELLS:
        found = [one for one in sequences if one.point.cell is cell]
        if found:
            parts += [f"## {cell.value.upper()}, every point\n", _table(POINT_HEAD, _points(found))]
    return "\n".join(parts)


FP32_HEAD = "regime|cell|points|min|**mean**|max|floor / aim||strict mean|share|library's share"
BF16_HEAD = "regime|cell|points|min|**mean**|max|floor / aim||largest error"
STEP_HEAD = "cell|hidden|batch|onnxruntime us|ours us|**ratio**|floor / aim|"
POINT_HEAD = (
    "hidden|batch|steps|layers|best library|us|ours|us"
    "|**ratio**|strict|share|bf16 / bf16|bf16 / fp32"
)


def _limits(machine: Machine) -> str:
    speeds = ", ".join(
        f"{speed / 1e3:.0f} GB/s at {kb} KB" for kb, speed in machine.bytes_per_us.items()
    )
    return f"Limits: {2 * machine.fma_per_us / 1e3:.0f} GFLOP/s in fp32; {speeds}.\n"


def _regimes(measured: Sequence[Measured]) -> Iterator[list[str]]:
    for regime in REGIMES:
        for cell in CELLS:
            found = _of(measured, regime.name, cell)
            if found:
                ratios = [one.ratio for one in found]
                yield [
                    *_spread(regime.name, cell, ratios, regime.goals.get(cell)),
                    f"{geometric_mean(one.strict_ratio for one in found):.2f}",
                    f"{geometric_mean(one.share for one in found):.0%}",
                    f"{geometric_mean(one.peers_share for one in found):.0%}",
                ]


def _bf16_regimes(measured: Sequence[Measured]) -> Iterator[list[str]]:
    for regime in REGIMES:
        for cell in CELLS:
            found = _of(measured, regime.name, cell)
            if found:
                ratios = [one.bf16_ratio for one in found]
                error = max(
                    error
                    for one in found
                    for name, error in one.errors.items()
                    if name.startswith(OURS_BF16)
                )
                yield [*_spread(regime.name, cell, ratios, regime.bf16), f"{error:.1e}"]


def _spread(name: str, cell: Cell, ratios: list[float], goal: Goal | None) -> list[str]:
    mean = geometric_mean(ratios)
    return [
        name,
        cell.value.upper(),
        str(len(ratios)),
        f"{min(ratios):.2f}",
        f"**{mean:.2f}**",
        f"{max(ratios):.2f}",
        *_verdict(mean, goal),
    ]


def _verdict(mean: float, goal: Goal | None) -> list[str]:
    if goal is None:
        return ["", ""]
    word = "aim met" if mean >= goal.aim else "floor met" if mean >= goal.floor else "missed"
    return [f"{goal.floor:g} / {goal.aim:g}", word]


def _worst(measured: Sequence[Measured]) -> str:
    under = [one for one in measured if one.ratio < POINT_MIN]
    worst = min(measured, key=lambda one: one.ratio)
    exact = max(
        error
        for one in measured
        for name, error in one.errors.items()
        if name.startswith((OURS, OURS_STRICT)) and not name.startswith(OURS_BF16)
    )
    return (
        f"{len(under)} of {len(measured)} points are under {POINT_MIN}; the least is "
        f"{worst.ratio:.2f} ({_title(worst.point)}). Largest error of ours in fp32 against torch: "
        f"{exact:.1e}.\n"
    )


def _steps(measured: Sequence[Measured]) -> Iterator[list[str]]:
    for one in measured:
        point = one.point
        theirs, ours = one.best(PEERS)[1], one.best(OURS)[1]
        goal = STEP_GOALS[point.hidden] if point.batch == 1 else None
        yield [
            point.cell.value.upper(),
            str(point.hidden),
            str(point.batch),
            f"{theirs:.1f}",
            f"{ours:.1f}",
            f"**{theirs / ours:.2f}**",
            *_verdict(theirs / ours, goal),
        ]


def _points(measured: Sequence[Measured]) -> Iterator[list[str]]:
    for one in measured:
        point = one.point
        theirs, ours = one.best(PEERS), one.best((OURS, OURS_STRICT))
        bf16, theirs_bf16 = one.best(OURS_BF16)[1], one.best(PEERS_BF16)[1]
        yield [
            *(str(n) for n in (point.hidden, point.batch, point.steps, point.layers)),
            theirs[0],
            f"{theirs[1]:.0f}",
            ours[0],
            f"{ours[1]:.0f}",
            f"**{one.ratio:.2f}**",
            f"{one.strict_ratio:.2f}",
            f"{one.share:.0%}",
            f"{theirs_bf16 / bf16:.2f}",
            f"{theirs[1] / bf16:.2f}",
        ]


def _of(measured: Sequence[Measured], regime: str, cell: Cell) -> list[Measured]:
    return [
        one for one in measured if one.point.cell is cell and regime_of(one.point).name == regime
    ]


def _table(head: str, rows: Iterator[list[str]]) -> str:
    lines = [f"| {' | '.join(head.split('|'))} |", "|" + "---|" * (head.count("|") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _title(point: Point) -> str:
    return (
        f"{point.cell.value}, hidden {point.hidden}, batch {point.batch}, {point.steps} steps, "
        f"{point.layers} layers"
    )
