"""Which configuration to run: enumerate, prune by what the GPU has, rank by an estimate of a step.

GRNN's search over this project's configurations. The estimate counts cycles of an H100 with
constants that nobody has measured yet: it orders candidates, it promises no time.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.configuration import (
    ALL_RESIDENT,
    DOT_BATCH_MAX,
    MMA_BATCH_MAX,
    REGISTERS_SPARE,
    Configuration,
    Exchange,
)
from nexus.backend.kernels.cuda.device_limits import (
    CLUSTER_BLOCKS,
    DeviceLimits,
    registers_per_thread,
)
from nexus.backend.kernels.cuda.tile import COLUMNS, TILE_ROWS, Family, Tile, round_up
from nexus.core.errors import InfeasibleError

UNITS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
DOT_LANES = (8, 16, 32)
DOT_ROWS = (2, 4, 8)
MMA_SPLITS = (1, 2, 4, 8)
THREADS_MAX = 1024
PROJECTED_SUMS = 32
"""Accumulators of a thread before the loop: more rows of x at once would cost weights."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be run: one layer, in one or both directions, or a wavefront of layers."""

    cell: Cell
    precision: Precision
    input_size: int
    hidden_size: int
    batch: int = 1
    directions: int = 1
    layers: int = 1
    fused: bool = False

    @property
    def family(self) -> Family:
        """By the precision."""
        return Family.DOT if self.precision is Precision.FP32 else Family.MMA


@dataclass(frozen=True, slots=True)
class Choice:
    """A configuration, the batch tiles that the demand needs of it, and its estimated step."""

    configuration: Configuration
    tiles: int
    step_cycles: float


def choose(demand: Demand, limits: DeviceLimits) -> Choice:
    """The candidate with the shortest estimated step.

    Raises:
        InfeasibleError: no configuration holds these weights on such a GPU.
    """
    best = min(candidates(demand, limits), key=lambda choice: choice.step_cycles, default=None)
    if best is None:
        raise InfeasibleError(
            f"no configuration of a {demand.cell.value} with hidden size {demand.hidden_size}, "
            f"{demand.precision.value}, batch {demand.batch} fits {limits.name}: hand it over to "
            "cuDNN, or choose a smaller batch or 16-bit weights",
            reason="no_configuration",
        )
    return best


def candidates(demand: Demand, limits: DeviceLimits) -> Iterator[Choice]:
    """All configurations that can run, each with its weights where they fit."""
    for batch_tile in _batch_tiles(demand):
        tiles = -(-demand.batch // batch_tile)
        groups = tiles * demand.directions * demand.layers
        for units in UNITS:
            blocks = -(-demand.hidden_size // units)
            if blocks * groups > limits.sms or (units > UNITS[0] and blocks == 1 and groups > 1):
                continue
            for threads, lanes in _thread_counts(demand, units):
                base = _base(demand, units, threads, lanes, batch_tile)
                for exchange in _exchanges(demand, blocks, limits):
                    placed = with_placed_weights(replace(base, exchange=exchange))
                    if not placed.problem(limits, tiles=tiles):
                        yield Choice(placed, tiles, step_cycles(placed))


def with_placed_weights(configuration: Configuration) -> Configuration:
    """Registers hold as many weights as they can, shared memory the rest; W in segments."""
    most = registers_per_thread(configuration.threads) - REGISTERS_SPARE
    none = replace(configuration, resident=0, resident_input=0)  # so a share is counted
    tile = configuration.input_tiles[0]
    if not configuration.fused:
        one = replace(none, segment=tile.step_features)
        before = tile.step_pieces * 4
        steps = max((most - one.registers) // before + 1, 1)
        configuration = replace(
            configuration, segment=min(steps * tile.step_features, configuration.input_size)
        )
        none = replace(configuration, resident=0)
    per_step = sum(tile.step_pieces * 4 for tile in configuration.loop_tiles)
    # Without weights in registers, the phase before the loop may set the estimate.
    loop = none.loop_registers
    steps = max((most - loop) // per_step, 0)
    resident = ALL_RESIDENT if steps >= max(t.steps for t in configuration.loop_tiles) else steps
    return replace(configuration, resident=resident, resident_input=resident)


def step_cycles(configuration: Configuration) -> float:
    """Estimated cycles of one step: product, reduction, the fixed part, and the exchange."""
    product = sum(_product_cycles(configuration, tile) for tile in configuration.loop_tiles)
    exchanges = configuration.exchanges_per_step
    fixed = FIXED_CYCLES + ITEM_CYCLES * configuration.items
    return product + exchanges * (fixed + _exchange_cycles(configuration))


FIXED_CYCLES = 230.0
"""Two barriers and a cell's activations."""
ITEM_CYCLES = 60.0
WORDS_CYCLES = 700.0
"""A store and a load through L2, until the last block has both."""
COUNTER_CYCLES = 1500.0
CLUSTER_CYCLES = 280.0
SEND_CYCLES = 2.0
"""One warp's send to one peer of its cluster."""
L2_BYTES_PER_CYCLE = 3100.0
SHARED_BYTES_PER_CYCLE = 128.0
SCHEDULERS = 4
FMA_LATENCY_CYCLES = 4.0
MMA_CYCLES = 6.0
MMA_LATENCY_CYCLES = 33.0
SHUFFLE_CYCLES = 25.0
SUM_CYCLES = 4.0


def _product_cycles(configuration: Configuration, tile: Tile) -> float:
    batch, warps = configuration.batch_tile, configuration.division.warps
    turns = -(-warps // SCHEDULERS)  # of each of the SM's four quarters
    shared = tile.shared_bytes / SHARED_BYTES_PER_CYCLE
    if configuration.family is Family.MMA:
        columns = -(-batch // COLUMNS)
        issuing = turns * 2 * tile.steps * columns * MMA_CYCLES
        reading = tile.steps * warps * 32 * 16 * columns / SHARED_BYTES_PER_CYCLE
        adding = SUM_CYCLES * tile.split * tile.gate_rows
        return max(issuing, tile.steps * MMA_LATENCY_CYCLES, reading + shared) + adding
    sums = tile.group_rows * batch
    issuing = turns * tile.steps * 4 * sums
    waiting = tile.steps * 4 * FMA_LATENCY_CYCLES
    reading = tile.steps * warps * 32 * 16 * batch / SHARED_BYTES_PER_CYCLE
    reducing = SHUFFLE_CYCLES * math.log2(tile.division.lanes) + SUM_CYCLES * sums
    return max(issuing, waiting, reading + shared) + reducing


def _exchange_cycles(configuration: Configuration) -> float:
    if configuration.exchange is Exchange.CLUSTER:
        warps = -(-configuration.batch_tile * configuration.units // 30)
        return CLUSTER_CYCLES + SEND_CYCLES * warps * configuration.blocks
    if configuration.blocks == 1:
        return WORDS_CYCLES
    broadcast = 16.0 * configuration.words * configuration.blocks / L2_BYTES_PER_CYCLE
    waiting = WORDS_CYCLES if configuration.exchange is Exchange.WORDS else COUNTER_CYCLES
    return waiting + broadcast


def _base(demand: Demand, units: int, threads: int, lanes: int, batch_tile: int) -> Configuration:
    rows = -(-units * demand.cell.gates * lanes // threads)
    if demand.family is Family.MMA:
        project_rows = round_up(max(batch_tile, COLUMNS), COLUMNS)
    else:
        project_rows = max(min(PROJECTED_SUMS // (1 << (rows - 1).bit_length()), 8), 2)
    return Configuration(
        demand.cell,
        demand.precision,
        demand.input_size,
        demand.hidden_size,
        units,
        threads,
        batch_tile,
        lanes=lanes,
        fused=demand.fused or demand.layers > 1,
        project_rows=project_rows,
        directions=demand.directions,
        layers=demand.layers,
        ring=4 if demand.layers > 1 else 2,
    )


def _batch_tiles(demand: Demand) -> Iterator[int]:
    most = DOT_BATCH_MAX if demand.family is Family.DOT else MMA_BATCH_MAX
    tile = 1
    while True:
        yield tile
        if tile >= min(demand.batch, most):
            return
        tile *= 2


def _thread_counts(demand: Demand, units: int) -> Iterator[tuple[int, int]]:
    """(threads, lanes) that divide the gate rows of a block."""
    seen: set[tuple[int, int]] = set()
    gates = 4 if demand.fused or demand.layers > 1 else demand.cell.gates
    if demand.family is Family.MMA:
        if units % 2:
            return
        tiles = -(-units * gates // TILE_ROWS)
        seen = {(32 * tiles * split, 32) for split in MMA_SPLITS}
    else:
        for lanes in DOT_LANES:
            for rows in DOT_ROWS:
                groups = -(-units * gates // rows)
                seen.add((round_up(groups * lanes, 32), lanes))
    yield from sorted(pair for pair in seen if pair[0] <= THREADS_MAX)


def _exchanges(demand: Demand, blocks: int, limits: DeviceLimits) -> tuple[Exchange, ...]:
    if limits.clusters and blocks <= CLUSTER_BLOCKS and demand.layers == 1:
        return (Exchange.CLUSTER, Exchange.WORDS)
    return (Exchange.WORDS,)
