"""Weights in the order in which the kernel's threads load them: pure numpy, once at load.

Gate-major rows become unit-major (all gates of a unit lie in one block), rows and columns are
padded with zeros so that the kernel's loops have no bounds tests, and every piece of 16 bytes is
a coalesced load.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.tile import COLUMNS, Family, Tile
from nexus.backend.kernels.weights import Floats, LayerWeights

Bytes = NDArray[np.uint8]


def pack_recurrent(configuration: Configuration, parts: Sequence[LayerWeights]) -> Bytes:
    """R of every part (direction or layer): [parts][blocks][tiles][pieces] of 16 bytes."""
    tiles = tuple(zip(configuration.hidden_tiles, configuration.gates_of_products, strict=True))
    return _joined(
        [
            [_packed(configuration, part.w_hh, tile, gates) for tile, gates in tiles]
            for part in parts
        ]
    )


def pack_input(configuration: Configuration, parts: Sequence[LayerWeights]) -> Bytes:
    """W of every part, in segments of features or beside R."""
    if configuration.fused:
        tiles = tuple(zip(configuration.input_tiles, configuration.gates_of_inputs, strict=True))
        return _joined(
            [
                [_packed(configuration, part.w_ih, tile, gates) for tile, gates in tiles]
                for part in parts
            ]
        )
    width, gates = configuration.segment_features, configuration.gates_of_inputs[0]
    return _joined(
        [
            [
                _packed(configuration, part.w_ih[:, i * width : (i + 1) * width], tile, gates)
                for i, tile in enumerate(configuration.input_tiles)
            ]
            for part in parts
        ]
    )


def pack_bias(configuration: Configuration, parts: Sequence[LayerWeights]) -> Floats:
    """[parts][blocks][units][4]; what is added to W*x first, and a GRU's b_hn last."""
    gates, hidden = configuration.cell.gates, configuration.hidden_size
    packed = np.zeros((len(parts), configuration.blocks * configuration.units, 4), np.float32)
    for index, part in enumerate(parts):
        bias = (part.b_ih + part.b_hh).reshape(gates, hidden).T
        packed[index, :hidden, :gates] = bias
        if configuration.cell is Cell.GRU:
            packed[index, :hidden, 2] = part.b_ih.reshape(gates, hidden)[2]
            packed[index, :hidden, 3] = part.b_hh.reshape(gates, hidden)[2]
    return packed


def _joined(parts: Iterable[Iterable[Bytes]]) -> Bytes:
    return np.stack([np.concatenate(list(tiles), axis=1) for tiles in parts])


def _packed(
    configuration: Configuration, matrix: Floats, tile: Tile, gates: Sequence[int | None]
) -> Bytes:
    """One matrix [G*H, K] as [blocks, bytes of a block]."""
    rows = _unit_major(configuration, matrix, tile, gates)
    pack = _dot_order if configuration.family is Family.DOT else _mma_order
    ordered = pack(rows, tile, configuration.precision)
    return ordered.reshape(configuration.blocks, -1).view(np.uint8)


def _unit_major(
    configuration: Configuration, matrix: Floats, tile: Tile, gates: Sequence[int | None]
) -> Floats:
    """[blocks, rows of a block, extent]: row = unit * gates + gate, zeros for padding."""
    hidden, width = configuration.hidden_size, matrix.shape[1]
    by_gate = matrix.reshape(configuration.cell.gates, hidden, width)
    units = configuration.blocks * configuration.units
    padded = np.zeros((units, len(gates), tile.extent), np.float32)
    for row, gate in enumerate(gates):
        if gate is not None:
            padded[:hidden, row, :width] = by_gate[gate]
    return padded.reshape(configuration.blocks, tile.rows, tile.extent)


def _dot_order(rows: Floats, tile: Tile, _precision: Precision) -> NDArray[np.float32]:
    """[steps][rows of a group][groups][lanes][4 features]."""
    division = tile.division
    groups = division.threads // division.lanes
    padded = _with_rows(rows, groups * tile.group_rows)
    split = padded.reshape(-1, groups, tile.group_rows, tile.steps, division.lanes, 4)
    return np.ascontiguousarray(split.transpose(0, 3, 2, 1, 4, 5))


def _mma_order(rows: Floats, tile: Tile, precision: Precision) -> NDArray[np.uint16]:
    """A fragments of two mma at a time: [steps][2 mma][threads][4 registers][2 numbers].

    In a run of 32 features, thread q of four has features 8q..8q+7: two for each half of each mma.
    """
    division = tile.division
    padded = halves(_with_rows(rows, tile.row_tiles * 16), precision)
    # block, row tile, row half, g | split, step, q, mma, feature half, pair
    split = padded.reshape(-1, tile.row_tiles, 2, COLUMNS, tile.split, tile.steps, 4, 2, 2, 2)
    order = split.transpose(0, 5, 7, 4, 1, 3, 6, 8, 2, 9)
    used = order.reshape(len(rows), tile.steps * 2, tile.split * tile.row_tiles * 32, 8)
    packed = np.zeros((len(rows), tile.steps * 2, division.threads, 8), np.uint16)
    packed[:, :, : used.shape[2]] = used
    return packed


def _with_rows(rows: Floats, count: int) -> Floats:
    padded = np.zeros((rows.shape[0], count, rows.shape[2]), np.float32)
    padded[:, : rows.shape[1]] = rows
    return padded


def halves(values: Floats, precision: Precision) -> NDArray[np.uint16]:
    """Rounded to nearest even, as 16-bit patterns of fp16 or bf16."""
    if precision is Precision.FP16:
        return values.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded.astype(np.uint16)
