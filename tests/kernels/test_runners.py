"""Every runner against the oracle in float64: cells, directions, layers, lengths, precisions."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.choose_runner import build_runner, cpu_features
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.onnx_runner import OnnxRunner
from nexus.backend.kernels.runner import RecurrentRunner
from nexus.backend.kernels.weights import Floats, StackWeights, random_weights
from nexus.core.errors import InvalidArgumentError
from tests.kernels.recurrent_cases import Case, random_case, relative_error

needs_cpu_kernels = pytest.mark.skipif(
    cpu_features() is None, reason="the CPU kernels are not installed"
)
Build = Callable[[StackWeights], RecurrentRunner]
TOLERANCES = {Precision.FP32: 1e-5, Precision.FP24: 1e-4, Precision.BF16: 2e-2}
STACKS = list(product(Cell, (False, True), (1, 3)))
ODD_SIZES = (1, 2, 3, 15, 16, 17, 31, 33, 47, 63, 65, 100, 127, 129, 255, 257, 511, 513)
LARGEST = 2047


def cpu_runner(
    weights: StackWeights,
    precision: Precision = Precision.FP32,
    threads: int = 2,
    narrow_batch_max: int = 2,
) -> RecurrentRunner:
    from nexus.backend.kernels.cpu_runner import CpuRunner  # noqa: PLC0415 - may be missing

    return CpuRunner(
        weights, precision=precision, threads=threads, narrow_batch_max=narrow_batch_max
    )


RUNNERS = [
    pytest.param(partial(OnnxRunner, threads=1), id="onnxruntime"),
    pytest.param(cpu_runner, id="cpu", marks=needs_cpu_kernels),
]


def assert_equal(runner: RecurrentRunner, case: Case, tolerance: float) -> None:
    found = runner.run(case.x, case.lengths, case.h0, case.c0)
    for one, wanted in zip(found, case.expected(), strict=True):
        assert relative_error(one, wanted) <= tolerance


def small_cases(shape: StackShape) -> st.SearchStrategy[Case]:
    return st.builds(
        partial(random_case, shape),
        steps=st.integers(1, 9),
        batch=st.integers(1, 9),
        seed=st.integers(0, 1000),
        ragged=st.booleans(),
        states=st.booleans(),
    )


def shapes(cell: Cell, layers: int, bidirectional: bool, largest: int) -> st.SearchStrategy[Case]:
    widths = st.integers(1, largest)
    built = st.builds(lambda i, h: StackShape(cell, i, h, layers, bidirectional), widths, widths)
    return built.flatmap(small_cases)


@needs_cpu_kernels
@pytest.mark.parametrize("precision", list(TOLERANCES))
@pytest.mark.parametrize(("cell", "bidirectional", "layers"), STACKS)
def test_runners_cpu_kernels_equal_the_oracle(
    cell: Cell, bidirectional: bool, layers: int, precision: Precision
) -> None:
    @settings(max_examples=5)
    @given(shapes(cell, layers, bidirectional, 70))
    def check(case: Case) -> None:
        assert_equal(cpu_runner(case.weights, precision, threads=1), case, TOLERANCES[precision])

    check()
    # One case is enough for two threads: on a busy machine each exchange waits for a core.
    shape = StackShape(cell, 5, 49, layers, bidirectional)
    case = random_case(shape, steps=3, batch=3, seed=layers, ragged=True, states=True)
    assert_equal(cpu_runner(case.weights, precision, threads=2), case, TOLERANCES[precision])


@pytest.mark.parametrize(("cell", "bidirectional", "layers"), STACKS)
def test_runners_onnxruntime_equals_the_oracle(
    cell: Cell, bidirectional: bool, layers: int
) -> None:
    @settings(max_examples=2)
    @given(shapes(cell, layers, bidirectional, 40))
    def check(case: Case) -> None:
        assert_equal(OnnxRunner(case.weights, threads=1), case, 1e-5)

    check()


def assert_every_precision_is_right(case: Case, threads: int) -> None:
    expected = case.expected()
    for precision, tolerance in TOLERANCES.items():
        runner = cpu_runner(case.weights, precision, threads)
        found = runner.run(case.x, case.lengths, case.h0, case.c0)
        for one, wanted in zip(found, expected, strict=True):
            assert relative_error(one, wanted) <= tolerance, precision


@needs_cpu_kernels
@pytest.mark.parametrize("hidden", [*ODD_SIZES, LARGEST])
def test_runners_cpu_kernels_take_any_hidden_size(hidden: int) -> None:
    for cell in Cell:
        shape = StackShape(cell, 7, hidden, bidirectional=hidden < 100)
        case = random_case(shape, steps=3, batch=3, seed=hidden, ragged=True, states=True)
        assert_every_precision_is_right(case, threads=2)


@needs_cpu_kernels
@pytest.mark.full
@pytest.mark.parametrize(
    ("cell", "bidirectional", "layers"), list(product(Cell, (False, True), (1, 2)))
)
@pytest.mark.parametrize("hidden", [1, 1023, 1025, 2047, 2048])
def test_runners_cpu_kernels_take_the_extreme_sizes_in_any_stack(
    hidden: int, cell: Cell, bidirectional: bool, layers: int
) -> None:
    shape = StackShape(cell, 7, hidden, layers, bidirectional)
    ragged = random_case(shape, steps=3, batch=3, seed=hidden, ragged=True, states=True)
    for case in (ragged, replace(ragged, lengths=None)):
        assert_every_precision_is_right(case, threads=2)


@pytest.mark.parametrize("cell", list(Cell))
@pytest.mark.parametrize("build", RUNNERS)
def test_runners_step_by_step_equals_the_whole(build: Build, cell: Cell) -> None:
    shape = StackShape(cell, 5, 33, layers=2)
    case = random_case(shape, steps=6, batch=3, seed=1, ragged=False, states=True)
    runner = build(case.weights)
    assert case.h0 is not None
    h, c = case.h0.copy(), None if case.c0 is None else case.c0.copy()
    y = np.stack([runner.step(x, h, c) for x in case.x])
    expected = case.expected()
    for found, wanted in ((y, expected.y), (h, expected.h_n), (c, expected.c_n)):
        assert relative_error(found, wanted) < 1e-5


@pytest.mark.parametrize("build", RUNNERS)
def test_runners_keep_the_state_of_an_empty_sequence(build: Build) -> None:
    shape = StackShape(Cell.LSTM, 5, 9, layers=2, bidirectional=True)
    case = random_case(shape, steps=4, batch=3, seed=1, ragged=False, states=True)
    y, h_n, c_n = build(case.weights).run(case.x, (4, 0, 2), case.h0, case.c0)
    assert case.h0 is not None
    assert case.c0 is not None
    assert c_n is not None
    assert not y[:, 1].any()
    assert np.array_equal(h_n[:, 1], case.h0[:, 1])
    assert np.array_equal(c_n[:, 1], case.c0[:, 1])


@pytest.mark.parametrize("build", RUNNERS)
def test_runners_take_a_batch_first_view(build: Build) -> None:
    case = random_case(
        StackShape(Cell.GRU, 5, 9), steps=4, batch=3, seed=1, ragged=False, states=False
    )
    view = np.ascontiguousarray(case.x.transpose(1, 0, 2)).transpose(1, 0, 2)
    reversed_inputs = np.ascontiguousarray(case.x[:, :, ::-1])[:, :, ::-1]
    runner = build(case.weights)
    for x in (view, reversed_inputs):
        assert relative_error(runner.run(x).y, case.expected().y) < 1e-5


def zeros(*size: int) -> Floats:
    return np.zeros(size, np.float32)


@pytest.mark.parametrize(
    ("x", "lengths", "h0", "message"),
    [
        (zeros(4, 3, 6), None, None, r"input \[4, 3, 6\] .* \[time, batch, 5\]"),
        (zeros(0, 3, 5), None, None, r"input \[0, 3, 5\]"),
        (zeros(4, 5), None, None, r"input \[4, 5\]"),
        (zeros(4, 3, 5), (1, 2), None, r"lengths \[1, 2\] of 3 sequences"),
        (zeros(4, 3, 5), (1, 2, 5), None, r"each must be in 0\.\.4"),
        (zeros(4, 3, 5), None, zeros(1, 2, 9), r"h0 \[1, 2, 9\], must be \[1, 3, 9\]"),
    ],
)
@pytest.mark.parametrize("build", RUNNERS)
def test_runners_name_a_shape_that_does_not_fit(
    build: Build, x: Floats, lengths: tuple[int, ...] | None, h0: Floats | None, message: str
) -> None:
    weights = random_weights(StackShape(Cell.LSTM, 5, 9), np.random.default_rng(0))
    with pytest.raises(InvalidArgumentError, match=message):
        build(weights).run(x, lengths, h0)


@pytest.mark.parametrize("build", RUNNERS)
def test_runners_name_what_a_step_misses(build: Build) -> None:
    chance = np.random.default_rng(0)
    lstm = build(random_weights(StackShape(Cell.LSTM, 5, 9), chance))
    with pytest.raises(InvalidArgumentError, match="a step of lstm needs second state c"):
        lstm.step(zeros(2, 5), zeros(1, 2, 9))
    with pytest.raises(InvalidArgumentError, match=r"h \[1, 1, 9\], must be \[1, 2, 9\]"):
        lstm.step(zeros(2, 5), zeros(1, 1, 9), zeros(1, 2, 9))
    gru = build(random_weights(StackShape(Cell.GRU, 5, 9), chance))
    with pytest.raises(InvalidArgumentError, match="a step of gru has no second state c"):
        gru.step(zeros(2, 5), zeros(1, 2, 9), zeros(1, 2, 9))
    both = build(random_weights(StackShape(Cell.GRU, 5, 9, bidirectional=True), chance))
    with pytest.raises(InvalidArgumentError, match="a bidirectional stack needs whole sequences"):
        both.step(zeros(2, 5), zeros(2, 2, 9))


@needs_cpu_kernels
def test_runners_serve_few_rows_by_narrow_weights_where_they_are_as_good() -> None:
    shape = StackShape(Cell.LSTM, 64, 512)
    case = random_case(shape, steps=20, batch=2, seed=1, ragged=False, states=False)
    narrow, wide = cpu_runner(case.weights), cpu_runner(case.weights, narrow_batch_max=0)
    if (cpu_features() or ("",))[0] in {"avx2", "avx512"}:
        assert "fp24" in narrow.name
        assert narrow.weight_bytes > wide.weight_bytes
    for runner in (narrow, wide):
        assert_equal(runner, case, 1e-5)
    loud = random_weights(shape, np.random.default_rng(1), scale=2.0)
    assert "fp24" not in cpu_runner(loud).name


@needs_cpu_kernels
def test_runners_may_be_called_from_several_threads() -> None:
    case = random_case(
        StackShape(Cell.GRU, 16, 65), steps=20, batch=2, seed=1, ragged=False, states=False
    )
    runner = cpu_runner(case.weights)
    expected = runner.run(case.x).y
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: runner.run(case.x).y, range(32)))
    assert all(np.array_equal(y, expected) for y in found)


@needs_cpu_kernels
def test_runners_serve_after_a_fork() -> None:
    case = random_case(
        StackShape(Cell.LSTM, 5, 65), steps=3, batch=2, seed=1, ragged=False, states=False
    )
    runner = cpu_runner(case.weights)
    expected = runner.run(case.x).y
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(runner.run(case.x).y, expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


@needs_cpu_kernels
def test_runners_on_cpus_have_no_fp16() -> None:
    weights = random_weights(StackShape(Cell.GRU, 5, 9), np.random.default_rng(0))
    with pytest.raises(InvalidArgumentError, match="fp16 is for GPUs"):
        build_runner(weights, precision=Precision.FP16)
