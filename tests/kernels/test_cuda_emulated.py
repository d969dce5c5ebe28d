"""Every form of the kernel under random schedules of the emulator, against the float64 oracle."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.configuration import Configuration, Exchange
from nexus.core.errors import InternalError
from tests.kernels.cuda_cases import (
    make_case,
    prepare,
    run_from_zeros,
    run_in_chunks,
    run_whole,
)
from tests.kernels.cuda_emulator import (
    COMPILER,
    IMPATIENCE_ROUNDS,
    Emulator,
    compile_kernel,
)

SEEDS = 20
pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++")


DOT = Configuration(
    Cell.LSTM,
    Precision.FP32,
    input_size=5,
    hidden_size=11,
    units=4,
    threads=32,
    lanes=8,
    batch_tile=2,
    project_rows=4,
)
MMA = replace(DOT, precision=Precision.BF16, hidden_size=21, units=8, threads=64, project_rows=8)
WORDS, CLUSTER, COUNTER = Exchange.WORDS, Exchange.CLUSTER, Exchange.COUNTER

CONFIGURATIONS = {
    "lstm": DOT,
    "lstm-split-weights": replace(DOT, hidden_size=50, units=17, lanes=8, threads=128, resident=1),
    "lstm-segments-both-ways": replace(DOT, input_size=19, segment=8, directions=2),
    "lstm-counter": replace(DOT, exchange=COUNTER, batch_tile=1),
    "lstm-cluster": replace(DOT, exchange=CLUSTER),
    "lstm-fused": replace(DOT, fused=True, batch_tile=1),
    "lstm-wavefront": replace(DOT, fused=True, layers=3, ring=3),
    "gru": replace(DOT, cell=Cell.GRU, batch_tile=8, threads=64),
    "gru-fused-cluster": replace(DOT, cell=Cell.GRU, fused=True, exchange=CLUSTER),
    "gru-wavefront": replace(DOT, cell=Cell.GRU, fused=True, layers=2, input_size=30),
    "gru-before": replace(DOT, cell=Cell.GRU_RESET_BEFORE),
    "gru-before-cluster-both-ways": replace(
        DOT, cell=Cell.GRU_RESET_BEFORE, exchange=CLUSTER, fused=True, directions=2
    ),
    "lstm-bf16": MMA,
    "lstm-bf16-split-weights": replace(MMA, hidden_size=70, units=24, threads=192, resident=0),
    "lstm-fp16-cluster": replace(MMA, precision=Precision.FP16, exchange=CLUSTER, fused=True),
    "lstm-fp16-wavefront": replace(MMA, precision=Precision.FP16, fused=True, layers=2),
    "gru-bf16-wide-batch": replace(MMA, cell=Cell.GRU, batch_tile=11, project_rows=16),
    "gru-before-bf16-both-ways": replace(MMA, cell=Cell.GRU_RESET_BEFORE, directions=2),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_emulated_kernel_equals_the_oracle(name: str, emulated: Path) -> None:
    configuration = CONFIGURATIONS[name]
    library = compile_kernel(configuration, emulated)
    case = make_case(configuration, (5, 0, 3))
    for seed in range(SEEDS):
        run_whole(case, Emulator(library, seed=seed))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_emulated_layout_is_what_python_computes(name: str, emulated: Path) -> None:
    configuration = CONFIGURATIONS[name]
    library = compile_kernel(configuration, emulated)
    assert library.shared_bytes() == configuration.shared_bytes
    assert library.recurrent_packed() == sum(t.packed_pieces for t in configuration.hidden_tiles)
    assert library.input_packed() == sum(t.packed_pieces for t in configuration.input_tiles)


CHUNKED = ("lstm", "lstm-counter", "lstm-cluster", "lstm-wavefront", "gru-before", "lstm-bf16")


@pytest.mark.parametrize("name", CHUNKED)
@pytest.mark.parametrize("steps", [1, 3])
def test_emulated_chunks_equal_the_whole(name: str, steps: int, emulated: Path) -> None:
    configuration = CONFIGURATIONS[name]
    library = compile_kernel(configuration, emulated)
    case = make_case(configuration, (5, 0, 2, 7))
    for seed in range(0, 5 * SEEDS, SEEDS):
        run_in_chunks(case, Emulator(library, seed=seed), steps)


def test_emulated_slots_without_state_begin_from_zeros_and_leave_none(emulated: Path) -> None:
    library = compile_kernel(DOT, emulated)
    run_from_zeros(make_case(DOT, (4, 2)), Emulator(library, seed=1))


@pytest.mark.parametrize("name", ["lstm", "lstm-counter", "lstm-wavefront"])
def test_emulated_kernel_gives_up_where_a_block_is_missing(name: str, emulated: Path) -> None:
    configuration = CONFIGURATIONS[name]
    case = make_case(configuration, (3, 2))
    emulator = Emulator(compile_kernel(configuration, emulated), seed=3)
    emulator.skipped_blocks = 1
    layer, y, states = prepare(case, emulator, IMPATIENCE_ROUNDS)
    layer.run(case.x, y, case.slots, states)
    with pytest.raises(InternalError, match="gave up"):
        layer.check()
    # The next launch begins afresh, with the block that was missing.
    emulator.skipped_blocks = 0
    layer.run(case.x, y, case.slots, states)
    layer.check()


@pytest.mark.full
@pytest.mark.timeout(600)
@given(data=st.data())
@hypothesis_settings(max_examples=40, deadline=None)
def test_emulated_any_shape_equals_the_oracle(emulated: Path, data: st.DataObject) -> None:
    cell = data.draw(st.sampled_from(list(Cell)))
    precision = data.draw(st.sampled_from([Precision.FP32, Precision.FP16, Precision.BF16]))
    hidden = data.draw(st.integers(1, 150))
    fp32 = precision is Precision.FP32
    units = data.draw(st.integers(-(-hidden // 6), hidden)) if fp32 else 16
    fused = data.draw(st.booleans())
    configuration = Configuration(
        cell,
        precision,
        input_size=data.draw(st.integers(1, 60)),
        hidden_size=hidden,
        units=units,
        threads=128,
        lanes=data.draw(st.sampled_from([8, 16, 32])),
        batch_tile=data.draw(st.sampled_from([1, 2, 4, 8])),
        exchange=data.draw(st.sampled_from(list(Exchange))),
        fused=fused,
        segment=data.draw(st.integers(0, 40)),
        resident=data.draw(st.integers(0, 3)),
        directions=data.draw(st.sampled_from([1, 2])),
    )
    lengths = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=9).filter(any))
    library = compile_kernel(configuration, emulated)
    run_whole(make_case(configuration, lengths), Emulator(library, seed=data.draw(st.integers(0))))


LARGE = {
    "lstm-1024": replace(DOT, input_size=64, hidden_size=1024, units=8, lanes=32, threads=256),
    "lstm-1023-bf16": replace(MMA, input_size=64, hidden_size=1023, units=8, threads=256),
    "gru-2047-fp16": replace(
        MMA, cell=Cell.GRU, precision=Precision.FP16, hidden_size=2047, units=16, threads=288
    ),
}


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LARGE)
def test_emulated_large_layer_equals_the_oracle(name: str, emulated: Path) -> None:
    configuration = LARGE[name]
    library = compile_kernel(configuration, emulated)
    for seed in range(3):
        run_whole(make_case(configuration, (3, 2)), Emulator(library, seed=seed))
