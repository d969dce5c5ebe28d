"""Whether the kernel computes what the oracle says, and the same bits every time."""

from dataclasses import replace

import torch

from benchmarks.grnn_gpu.contenders import Inputs, Launches
from benchmarks.grnn_gpu.points import Point
from nexus.backend.kernels import oracle
from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.cuda.choice import Choice, Demand, candidates
from nexus.backend.kernels.cuda.configuration import Configuration, Exchange
from nexus.backend.kernels.cuda.cuda_runner import LimitedLauncher, plan_stages

TOLERANCE = {Precision.FP32: 1e-5, Precision.FP16: 5e-3, Precision.BF16: 2e-2}
REPEATED_STEPS = 12


def error_of(launches: Launches, inputs: Inputs) -> float:
    """The largest difference from the oracle in the rows that must be written."""
    point = inputs.point
    launches.poison()
    launches.start()
    launches.check()
    expected = oracle.run(inputs.weights, inputs.x.double(), point.lengths).y
    found = launches.y.cpu().double()
    errors = [
        (found[index, :length] - expected[:length, index]).abs().max().nan_to_num(torch.inf)
        for index, length in enumerate(point.lengths)
        if length
    ]
    return float(torch.stack(errors).max())


def check_point(point: Point, launcher: LimitedLauncher, patience_ticks: int) -> str:
    """A line for the report; begins with ``ok`` or ``FAILED``."""
    stages = plan_stages(point.shape, point.precision, point.batch, launcher.limits)
    if not stages:
        return f"ok      {point.label}: cuDNN serves it"
    inputs = Inputs.random(point)
    error = error_of(Launches(inputs, stages, launcher, patience_ticks), inputs)
    verdict = "ok     " if error <= TOLERANCE[point.precision] else "FAILED "
    return f"{verdict} {point.label}: error {error:.1e} in {len(stages)} launches"


def exchanges_of(point: Point, launcher: LimitedLauncher) -> list[Choice]:
    """For each form of exchange, the configuration of a layer that the estimate ranks first."""
    demand = Demand(point.cell, point.precision, point.hidden, point.hidden, point.batch)
    best: dict[Exchange, Choice] = {}
    for choice in candidates(demand, launcher.limits):
        exchange = choice.configuration.exchange
        if exchange not in best or choice.step_cycles < best[exchange].step_cycles:
            best[exchange] = choice
    if Exchange.WORDS in best:
        words = best[Exchange.WORDS]
        counter = replace(words.configuration, exchange=Exchange.COUNTER)
        best[Exchange.COUNTER] = replace(words, configuration=counter)
    return list(best.values())


def check_repeats(
    point: Point, choice: Choice, launcher: LimitedLauncher, patience_ticks: int, repeats: int
) -> str:
    """Many launches of a few steps, all outputs poisoned before each, compared bit by bit."""
    short = replace(point, steps=REPEATED_STEPS, layers=1, bidirectional=False)
    inputs = Inputs.random(short)
    launches = Launches(inputs, [(0, choice)], launcher, patience_ticks)
    error = error_of(launches, inputs)
    first = launches.y.clone()
    differing = torch.zeros((), dtype=torch.int64, device=first.device)
    for _ in range(repeats):
        launches.poison()
        launches.start()
        same = (launches.y == first) | (launches.y.isnan() & first.isnan())
        differing += (~same).any()
    launches.check()
    bad = int(differing) > 0 or error > TOLERANCE[point.precision]
    return (
        f"{'FAILED ' if bad else 'ok     '} {short.label} {named(choice.configuration)}: "
        f"{repeats} launches, {int(differing)} differ, error {error:.1e}"
    )


def named(configuration: Configuration) -> str:
    """A configuration in a few words."""
    return (
        f"[{configuration.exchange.name.lower()}, {configuration.blocks} blocks of "
        f"{configuration.threads}, {configuration.units} units, tile {configuration.batch_tile}]"
    )
