"""Which kernel runs a stack on a GPU: enumerate, prune by what an SM holds, rank, or hand over.

A stack runs layer by layer, or as a wavefront: all layers at once in one launch, each on blocks of
its own (`Form`). cuDNN takes part in every ranking, so a layer is handed over where it would win:
by its large matrix products when batches are large, or because the weights do not fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.cuda.choice import Demand, candidates
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.device_limits import DeviceLimits, registers_per_thread
from nexus.backend.kernels.cuda.tile import Family
from nexus.backend.kernels.layer_shape import LayerShape
from nexus.backend.kernels.model.cost import Cost, summed
from nexus.backend.kernels.model.decision import Decision, Pruned, Ranked, tally
from nexus.backend.kernels.model.gpu import Gpu
from nexus.backend.kernels.model.gpu_cost import library_cost, persistent_cost
from nexus.backend.kernels.model.workload import Workload
from nexus.core.errors import InvalidArgumentError

PRECISIONS = frozenset({Precision.FP32, Precision.BF16, Precision.FP16})
ROOMY_SMS = 1 << 12
ROOMY_BYTES = 1 << 22
"""A GPU that never is too small: its candidates are those that a real one prunes."""


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """A persistent kernel with its batch tiles, or cuDNN where ``configuration`` is None."""

    configuration: Configuration | None
    tiles: int = 1

    def __str__(self) -> str:
        """``8 units x 128 blocks, 256 threads, batch tile 4, words``."""
        one = self.configuration
        if one is None:
            return "cuDNN"
        tiles = f" x {self.tiles} tiles" if self.tiles > 1 else ""
        parts = f" x {one.parts} parts" if one.parts > 1 else ""
        fused = ", W resident" if one.fused else ""
        lanes = f", {one.lanes} lanes" if one.family is Family.DOT else ""
        return (
            f"{one.units} units x {one.blocks} blocks{parts}{tiles}, {one.threads} threads{lanes}, "
            f"batch tile {one.batch_tile}, {one.exchange.name.lower()}{fused}"
        )


class Form(Enum):
    """How the layers of a stack follow each other."""

    LAYERS = "layer by layer"
    WAVEFRONT = "all layers in one launch, as a wavefront"


@dataclass(frozen=True, slots=True)
class Stage:
    """Layers that run alike: what they are, how many, and how each is run."""

    name: str
    repeats: int
    decision: Decision[GpuPlan]


@dataclass(frozen=True, slots=True)
class GpuDecision:
    """The faster form of a stack, and the other's time where there is one."""

    form: Form
    stages: tuple[Stage, ...]
    other_us: float | None = None

    @property
    def cost(self) -> Cost:
        """Of the whole stack."""
        return _cost_of(self.stages)


def decide(workload: Workload, gpu: Gpu, *, pruned: bool = False) -> GpuDecision:
    """How to run a stack.

    Args:
        workload: Weights in fp32, bf16 or fp16.
        gpu: With constants estimated or measured.
        pruned: Also say what was left out and why; three times as slow.

    Raises:
        InvalidArgumentError: no kernel for GPUs keeps weights in that precision.
    """
    if workload.precision not in PRECISIONS:
        raise InvalidArgumentError(
            f"kernels for GPUs keep weights in fp32, bf16 or fp16, not {workload.precision.value}",
            reason="invalid_precision",
        )
    layered = tuple(_layer_stages(workload, gpu, pruned=pruned))
    if workload.shape.layers == 1 or workload.shape.bidirectional:
        return GpuDecision(Form.LAYERS, layered)
    wavefront = _wavefront(workload, gpu, pruned=pruned)
    if wavefront is None:
        return GpuDecision(Form.LAYERS, layered)
    by_layers, at_once = _cost_of(layered).total_us, _cost_of((wavefront,)).total_us
    if at_once < by_layers:
        return GpuDecision(Form.WAVEFRONT, (wavefront,), by_layers)
    return GpuDecision(Form.LAYERS, layered, at_once)


def _cost_of(stages: tuple[Stage, ...]) -> Cost:
    return summed(
        tuple(stage.decision.chosen.cost for stage in stages for _ in range(stage.repeats))
    )


def _layer_stages(workload: Workload, gpu: Gpu, *, pruned: bool) -> Iterator[Stage]:
    shape = workload.shape
    first = shape.layer(0)
    alike = shape.layers == 1 or shape.layer(1) == first
    repeats = shape.layers if alike else 1
    name = "each layer" if repeats > 1 else "the layer" if shape.layers == 1 else "the first layer"
    yield Stage(name, repeats, _decide_layer(workload, first, gpu, pruned=pruned))
    if not alike:
        name = "each layer above" if shape.layers > 2 else "the layer above"  # noqa: PLR2004
        above = _decide_layer(workload, shape.layer(1), gpu, pruned=pruned)
        yield Stage(name, shape.layers - 1, above)


def _decide_layer(
    workload: Workload, layer: LayerShape, gpu: Gpu, *, pruned: bool
) -> Decision[GpuPlan]:
    demands = [_demand(workload, layer, fused=fused) for fused in (False, True)]
    library = library_cost(workload, layer, gpu)
    ranked = [Ranked(GpuPlan(None), library), *_ranked(workload, demands, gpu)]
    return _decision(ranked, _pruned(demands, gpu.limits) if pruned else ())


def _wavefront(workload: Workload, gpu: Gpu, *, pruned: bool) -> Stage | None:
    demand = replace(
        _demand(workload, workload.shape.layer(0), fused=True), layers=workload.shape.layers
    )
    ranked = list(_ranked(workload, [demand], gpu))
    if not ranked:
        return None
    left_out = _pruned([demand], gpu.limits) if pruned else ()
    return Stage("all layers", 1, _decision(ranked, left_out))


def _decision(ranked: list[Ranked[GpuPlan]], left_out: tuple[Pruned, ...]) -> Decision[GpuPlan]:
    ranked.sort(key=lambda one: one.cost.total_us)
    return Decision(tuple(ranked), left_out)


def _demand(workload: Workload, layer: LayerShape, *, fused: bool) -> Demand:
    return Demand(
        layer.cell,
        workload.precision,
        layer.input_size,
        layer.hidden_size,
        workload.batch,
        directions=workload.shape.directions,
        fused=fused,
    )


def _ranked(workload: Workload, demands: list[Demand], gpu: Gpu) -> Iterator[Ranked[GpuPlan]]:
    for demand in demands:
        for choice in candidates(demand, gpu.limits):
            one, tiles = choice.configuration, choice.tiles
            cost = persistent_cost(one, tiles, workload.batch, workload.steps, gpu)
            yield Ranked(GpuPlan(one, tiles), cost)


def _pruned(demands: list[Demand], limits: DeviceLimits) -> tuple[Pruned, ...]:
    """What a GPU of this architecture without end would run, counted by what this one lacks."""
    roomy = replace(limits, sms=ROOMY_SMS, shared_bytes=ROOMY_BYTES)
    ruled_out = []
    for demand in demands:
        for choice in candidates(demand, roomy):
            limit = _limit(choice.configuration, choice.tiles, limits)
            if limit:
                plan = GpuPlan(choice.configuration, choice.tiles)
                problem = choice.configuration.problem(limits, tiles=choice.tiles)
                ruled_out.append((limit, f"{plan}: {problem}"))
    return tally(ruled_out)


def _limit(configuration: Configuration, tiles: int, limits: DeviceLimits) -> str:
    if not configuration.problem(limits, tiles=tiles):
        return ""
    if configuration.blocks * configuration.parts * tiles > limits.sms:
        return "all blocks at once, one an SM"
    if configuration.shared_bytes > limits.shared_bytes:
        return "shared memory"
    if configuration.registers > registers_per_thread(configuration.threads):
        return "registers"
    return "architecture"
