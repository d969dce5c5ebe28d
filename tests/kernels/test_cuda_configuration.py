"""Configurations, their limits, the choice among them, and the packing of weights."""

from dataclasses import replace

import numpy as np
import pytest

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda import packing
from nexus.backend.kernels.cuda.choice import Demand, candidates, choose
from nexus.backend.kernels.cuda.configuration import Configuration, Exchange
from nexus.backend.kernels.cuda.device_limits import KNOWN, registers_per_thread
from nexus.backend.kernels.cuda.slot_table import NO_STATE, Slot, slot_table
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import random_weights
from nexus.core.errors import InfeasibleError, InvalidArgumentError

H100, T4, A100 = KNOWN["h100"], KNOWN["t4"], KNOWN["a100"]
WORST = Configuration(
    Cell.LSTM, Precision.FP32, 1024, 1024, units=8, threads=256, lanes=32, batch_tile=1
)
HALVES = replace(WORST, precision=Precision.BF16)


@pytest.mark.parametrize(
    ("configuration", "tiles", "problem"),
    [
        (WORST, 1, ""),
        (WORST, 2, "256 blocks on 132 SMs"),
        (replace(WORST, hidden_size=2048, units=16), 1, "registers a thread"),
        (replace(WORST, hidden_size=2048, units=16, resident=1), 1, "bytes of shared memory"),
        (replace(WORST, exchange=Exchange.CLUSTER), 1, "no cluster"),
        (replace(WORST, threads=1056), 1, "more threads"),
        (replace(WORST, threads=250), 1, "contradict"),
        (replace(WORST, batch_tile=3), 1, "contradict"),
        (replace(WORST, layers=2), 1, "contradict"),
        (replace(HALVES, units=9), 1, "contradict"),
        (replace(HALVES, threads=32), 1, "contradict"),
        (replace(HALVES, precision=Precision.FP24), 1, "contradict"),
    ],
)
def test_configuration_names_what_it_lacks(
    configuration: Configuration, tiles: int, problem: str
) -> None:
    found = configuration.problem(H100, tiles=tiles)
    assert problem in found
    assert bool(problem) == bool(found)
    if problem:
        with pytest.raises(InvalidArgumentError, match="cannot run on h100"):
            configuration.require(H100, tiles=tiles)


def test_configuration_refuses_bf16_on_turing() -> None:
    small = replace(HALVES, hidden_size=64, input_size=64)
    assert "sm_80" in small.problem(T4)
    assert replace(small, precision=Precision.FP16).problem(T4) == ""


@pytest.mark.parametrize(("threads", "registers"), [(32, 255), (256, 255), (288, 168), (512, 128)])
def test_registers_are_dealt_by_whole_quarters(threads: int, registers: int) -> None:
    assert registers_per_thread(threads) == registers


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize("hidden", [1, 37, 256, 1024])
def test_candidates_all_fit(hidden: int, precision: Precision) -> None:
    for limits in (T4, A100, H100):
        found = list(candidates(Demand(Cell.GRU, precision, 80, hidden, 4), limits))
        assert all(not c.configuration.problem(limits, tiles=c.tiles) for c in found)
        assert all(c.tiles * c.configuration.batch_tile >= 4 for c in found)


def test_choose_takes_clusters_where_they_are_quicker_and_words_elsewhere() -> None:
    small = Demand(Cell.LSTM, Precision.FP32, 256, 256)
    assert choose(small, H100).configuration.exchange is Exchange.CLUSTER
    assert choose(small, A100).configuration.exchange is Exchange.WORDS
    large = Demand(Cell.LSTM, Precision.FP32, 1024, 1024)
    assert choose(large, H100).configuration.exchange is Exchange.WORDS


def test_choose_says_where_nothing_fits() -> None:
    with pytest.raises(InfeasibleError, match="fits t4"):
        choose(Demand(Cell.LSTM, Precision.FP32, 1024, 2048), T4)


def test_packed_fp32_weights_lie_where_threads_look() -> None:
    """dot.h: thread of group g, lane l has rows g*ROWS+r, features 4*(s*LANES+l)+e."""
    configuration = Configuration(
        Cell.LSTM, Precision.FP32, 5, 11, units=4, threads=64, lanes=8, batch_tile=1
    )
    weights = random_weights(StackShape(Cell.LSTM, 5, 11), np.random.default_rng(1)).layers[0]
    (tile,) = configuration.hidden_tiles
    packed = packing.pack_recurrent(configuration, [weights]).view(np.float32)
    pieces = packed.reshape(configuration.blocks, tile.steps, tile.group_rows, 64, 4)
    by_gate = weights.w_hh.reshape(4, 11, 11)
    for block in range(configuration.blocks):
        for thread in range(64):
            for index in range(tile.group_rows):
                row = thread // 8 * tile.group_rows + index
                unit, gate = block * 4 + row // 4, row % 4
                for element in range(4):
                    feature = 4 * (thread % 8) + element
                    real = unit < 11 and feature < 11 and row < 16
                    expected = by_gate[gate, unit, feature] if real else 0.0
                    assert pieces[block, 0, index, thread, element] == expected


def test_packed_halves_hold_every_weight_once() -> None:
    configuration = replace(HALVES, hidden_size=40, input_size=3, units=8, threads=128)
    weights = random_weights(StackShape(Cell.LSTM, 3, 40), np.random.default_rng(2)).layers[0]
    packed = packing.pack_recurrent(configuration, [weights]).view(np.uint16)
    expected = packing.halves(weights.w_hh, Precision.BF16)
    assert sorted(packed[packed != 0]) == sorted(expected[expected != 0])


def test_halves_round_to_nearest_even() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, -0.0], np.float32)
    assert [hex(v) for v in packing.halves(values, Precision.BF16)] == [
        "0x3f80",
        "0x3f80",
        "0x3f82",
        "0x8000",
    ]


def test_packed_bias_keeps_the_candidates_apart_for_a_gru() -> None:
    configuration = replace(WORST, cell=Cell.GRU, hidden_size=3, input_size=2, units=2, threads=64)
    weights = random_weights(StackShape(Cell.GRU, 2, 3), np.random.default_rng(3)).layers[0]
    (bias,) = packing.pack_bias(configuration, [weights])
    assert bias[1, 0] == weights.b_ih[1] + weights.b_hh[1]
    assert bias[1, 2] == weights.b_ih[7]
    assert bias[1, 3] == weights.b_hh[7]
    assert not bias[3].any()


def test_slot_table_is_padded_with_empty_slots() -> None:
    table = slot_table([Slot(3, 4, 5, 6, 7)], batch_tile=2)
    assert table.tolist() == [[3, 4, 5, 6, 7], [0, 0, 0, NO_STATE, NO_STATE]]


@pytest.mark.parametrize("slot", [(0, 0, 1, 2, 2), (0, 0, -1, 0, 1)])
def test_slot_refuses_a_state_written_in_place(slot: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(InvalidArgumentError, match="must differ"):
        Slot(*slot)
