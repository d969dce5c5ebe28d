"""How long a persistent recurrent kernel takes on a GPU, and how long cuDNN would.

    time = launch + weights from L2 + inputs + steps * (product + reduction + fixed + exchange)

GRNN's model ranks by fitted units of one GPU and knows neither launches nor input; this one has
constants with a meaning (`gpu.py`) and gives times.
"""

import math

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.configuration import Configuration, Exchange
from nexus.backend.kernels.cuda.tile import COLUMNS, RUN, Family, Tile
from nexus.backend.kernels.layer_shape import LayerShape
from nexus.backend.kernels.model.cost import Cost, Term
from nexus.backend.kernels.model.gpu import QUARTERS, Gpu
from nexus.backend.kernels.model.workload import Workload

SHARED_BYTES_PER_CYCLE = 128.0
FMA_LATENCY_CYCLES = 4.0
MMA_LATENCY_CYCLES = 33.0
SUM_CYCLES = 4.0
"""Of one sum of a reduction, its load included."""
ITEM_CYCLES = 60.0
"""Each further unit whose cell a thread computes."""
SEND_CYCLES = 2.0
"""One warp's store to one peer of its cluster."""
FULL_LANES = 128
"""fp32 lanes of an SM of which each scheduler issues a multiply-add in every cycle."""
WARP_PIECE_BYTES = 32 * 16
SMALL_HIDDEN_MAX = 192
"""Up to here torch lets cuDNN run one persistent kernel."""


def persistent_cost(
    configuration: Configuration, tiles: int, batch: int, steps: int, gpu: Gpu
) -> Cost:
    """One launch that runs a layer, both its directions, or a wavefront of layers."""
    constants = gpu.constants
    turns = steps + configuration.layers - 1
    product, reduction = _step_ns(configuration, gpu)
    exchanges = configuration.exchanges_per_step
    fixed = exchanges * (
        constants.fixed_ns + gpu.cycles_ns(ITEM_CYCLES * (configuration.items - 1))
    )
    exchanged = exchanges * _exchange_ns(configuration, tiles, gpu)
    return Cost(
        (
            Term("launch", constants.launch_us, "from Python to the first step and back"),
            _weights(configuration, tiles, gpu),
            _inputs(configuration, steps, gpu),
            Term("products", turns * product / 1e3, _why_products(configuration)),
            Term("reductions", turns * reduction / 1e3, _why_reductions(configuration)),
            Term("fixed", turns * fixed / 1e3, "block barriers and activations"),
            Term("exchange", turns * exchanged / 1e3, _why_exchange(configuration, batch)),
        )
    )


def library_cost(workload: Workload, layer: LayerShape, gpu: Gpu) -> Cost:
    """One layer of a stack by cuDNN as torch calls it: its choice of algorithm is torch's."""
    precision, batch = workload.precision, workload.batch
    steps, directions = workload.steps, workload.shape.directions
    constants = gpu.constants
    persistent = _library_persists(workload, layer, gpu)
    step_us = constants.library_persistent_step_us if persistent else constants.library_step_us
    rate = library_rate(precision, gpu)
    recurrent = 2.0 * batch * layer.rows * layer.hidden_size / rate
    loads = gpu.load_ns(layer.rows * layer.hidden_size * precision.weight_bytes)
    inputs = 2.0 * batch * steps * layer.rows * layer.input_size / rate
    each = max(step_us * 1e3, recurrent, loads)
    why = "one persistent kernel" if persistent else "kernels for every step"
    return Cost(
        (
            Term("launch", constants.launch_us, "from Python to the first step and back"),
            Term("inputs", directions * inputs / 1e3, "one matrix product for all steps"),
            Term("products", directions * steps * each / 1e3, why),
        )
    )


def library_rate(precision: Precision, gpu: Gpu) -> float:
    """Floating-point operations per nanosecond of large matrix products."""
    efficiency = gpu.constants.library_efficiency
    if precision is Precision.FP32:
        return 2.0 * gpu.fp32_lanes * gpu.limits.sms * gpu.clock_ghz * efficiency
    return gpu.tensor_tflops * 1e3 * efficiency


def _library_persists(workload: Workload, layer: LayerShape, gpu: Gpu) -> bool:
    """Where torch asks cuDNN for a persistent kernel rather than for launches at every step."""
    if layer.cell is Cell.GRU_RESET_BEFORE:
        return False
    if layer.hidden_size <= SMALL_HIDDEN_MAX:
        return True
    return (
        workload.precision is Precision.FP16
        and layer.cell is Cell.LSTM
        and workload.shape.states == 1
        and layer.hidden_size <= 1024  # noqa: PLR2004 - these five are torch's
        and layer.hidden_size % 128 == 0
        and layer.input_size % 128 == 0
        and workload.batch % 8 == 0
        and workload.batch <= 128  # noqa: PLR2004
        and gpu.limits.sms >= 98  # noqa: PLR2004
    )


def _weights(configuration: Configuration, tiles: int, gpu: Gpu) -> Term:
    """Every launch brings its weights into registers and shared memory."""
    resident = sum(tile.rows * tile.features for tile in configuration.loop_tiles)
    size = resident * configuration.precision.weight_bytes
    total = size * configuration.blocks * configuration.parts * tiles
    once = gpu.load_ns(size * configuration.blocks * configuration.parts)
    return Term("weights", once * tiles / 1e3, f"{total / 2**20:.1f} MiB brought onto the SMs")


def _inputs(configuration: Configuration, steps: int, gpu: Gpu) -> Term:
    """W x of all steps, by each block for its own rows; nothing where W is resident."""
    if configuration.fused:
        return Term("inputs", 0.0, "multiplied in each step")
    rows = configuration.units * configuration.cell.gates
    vectors = steps * configuration.batch_tile
    if configuration.family is Family.DOT:
        rate = gpu.fp32_lanes * gpu.constants.fma_efficiency
        cycles = rows * configuration.input_size * vectors / rate
    else:
        row_tiles = configuration.input_tiles[0].row_tiles
        products = row_tiles * -(-vectors // COLUMNS) * configuration.input_size / (RUN / 2)
        cycles = products * gpu.constants.mma_cycles / QUARTERS
    return Term("inputs", gpu.cycles_ns(cycles) / 1e3, "W x of all steps before the first")


def _step_ns(configuration: Configuration, gpu: Gpu) -> tuple[float, float]:
    parts = [_product_cycles(configuration, tile, gpu) for tile in configuration.loop_tiles]
    return (
        gpu.cycles_ns(sum(product for product, _ in parts)),
        gpu.cycles_ns(sum(reduction for _, reduction in parts)),
    )


def _product_cycles(configuration: Configuration, tile: Tile, gpu: Gpu) -> tuple[float, float]:
    """(multiplying, adding up): whatever is slowest of issuing, waiting and shared memory."""
    batch, warps = configuration.batch_tile, configuration.division.warps
    turns = -(-warps // QUARTERS)
    if configuration.family is Family.MMA:
        columns = -(-batch // COLUMNS)
        issuing = turns * 2 * tile.steps * columns * gpu.constants.mma_cycles
        waiting = tile.steps * MMA_LATENCY_CYCLES
        vectors = columns
        adding = SUM_CYCLES * tile.split * tile.gate_rows
    else:
        sums = tile.group_rows * batch
        issue = FULL_LANES / gpu.fp32_lanes / gpu.constants.fma_efficiency
        issuing = turns * tile.steps * 4 * sums * issue
        waiting = tile.steps * 4 * FMA_LATENCY_CYCLES
        vectors = batch
        levels = math.log2(tile.division.lanes)
        adding = gpu.constants.shuffle_cycles * levels + SUM_CYCLES * sums
    read = tile.steps * warps * WARP_PIECE_BYTES * vectors + tile.shared_bytes
    return max(issuing, waiting, read / SHARED_BYTES_PER_CYCLE), adding


def _exchange_ns(configuration: Configuration, tiles: int, gpu: Gpu) -> float:
    """Until the last block has all of h."""
    constants = gpu.constants
    if configuration.exchange is Exchange.CLUSTER:
        warps = -(-configuration.batch_tile * configuration.units // 30)
        sending = SEND_CYCLES * warps * configuration.blocks
        return constants.cluster_ns + gpu.cycles_ns(sending)
    words = configuration.exchange is Exchange.WORDS
    once = constants.words_ns if words else constants.counter_ns
    blocks = configuration.blocks * configuration.parts * tiles
    broadcast = 16.0 * configuration.words * blocks if configuration.blocks > 1 else 0.0
    return once + broadcast / constants.l2_bytes_per_ns


def _why_products(configuration: Configuration) -> str:
    held = sum(tile.held_registers for tile in configuration.loop_tiles)
    shared = sum(tile.shared_bytes for tile in configuration.loop_tiles)
    where = f"{held} registers a thread" + (f" and {shared / 1024:.0f} KiB" if shared else "")
    unit = "tensor cores" if configuration.family is Family.MMA else "multiply-adds"
    return f"{unit}, weights in {where}"


def _why_reductions(configuration: Configuration) -> str:
    if configuration.family is Family.MMA:
        return "sums of the warps that share a row"
    return f"over {configuration.lanes} lanes"


def _why_exchange(configuration: Configuration, batch: int) -> str:
    how = configuration.exchange.name.lower()
    tiles = -(-batch // configuration.batch_tile)
    return f"h by {how} among {configuration.blocks} blocks, {tiles} batch tiles"
