"""The CPU extension itself: every instruction set of this CPU, plans, slots, threads, refusals."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.layer_shape import StackShape
from tests.kernels.recurrent_cases import Case, random_case, relative_error

kernels = pytest.importorskip(
    "nexus_cpu_kernels", reason="the CPU kernels are not built: make cpu-kernels"
)

Floats = NDArray[np.float32]
TOLERANCES = {"fp32": 1e-5, "fp24": 1e-4, "bf16": 2e-2}
SPLITS = ("auto", "units", "rows", "directions")
THREADS = 2  # more threads than cores wait for each other by time slices


@pytest.fixture(scope="module")
def pool() -> Any:
    with kernels.Pool(THREADS) as opened:
        yield opened


def stack_of(case: Case, precision: str = "fp32", isa: str = "best") -> Any:
    shape = case.weights.shape
    layers = [(one.w_ih, one.w_hh, one.b_ih, one.b_hh) for one in case.weights.layers]
    return kernels.Stack(shape.cell.value, layers, shape.bidirectional, precision, isa)


def outputs_of(stack: Any, pool: Any, case: Case, plan: Any = None) -> tuple[Floats, ...]:
    """y, final h and, for an LSTM, final c; all poisoned before."""
    steps, batch, _ = case.x.shape
    shape = case.weights.shape
    size = (shape.states, batch, shape.hidden_size)
    y = np.full((steps, batch, shape.output_size), np.nan, np.float32)
    h_n = np.full(size, np.nan, np.float32)
    c_n = np.full(size, np.nan, np.float32) if shape.cell is Cell.LSTM else None
    lengths = None if case.lengths is None else np.array(case.lengths, np.int32)
    stack.run(pool, case.x, y, lengths, case.h0, case.c0, h_n, c_n, plan)
    return (y, h_n) if c_n is None else (y, h_n, c_n)


def assert_equals_oracle(found: tuple[Floats, ...], case: Case, tolerance: float) -> None:
    for one, expected in zip(found, case.expected(), strict=False):
        assert relative_error(one, expected) < tolerance


def plain_case(cell: Cell = Cell.LSTM, *, hidden: int = 24, batch: int = 5, steps: int = 6) -> Case:
    shape = StackShape(cell, 3, hidden, 2, bidirectional=False)
    return random_case(shape, steps=steps, batch=batch, seed=1, ragged=False, states=False)


plans = st.builds(
    lambda threads, split, rows, chunk: kernels.Plan(
        threads=threads, split=split, rows_per_block=rows, chunk_rows=chunk
    ),
    st.integers(0, THREADS),
    st.sampled_from(SPLITS),
    st.integers(0, 4),
    st.sampled_from((0, 1, 3, 7)),
)


@pytest.mark.parametrize("precision", list(TOLERANCES))
@pytest.mark.parametrize("isa", kernels.features())
@pytest.mark.parametrize("cell", list(Cell))
def test_cpu_kernels_equal_the_oracle_under_any_plan(
    pool: Any, cell: Cell, isa: str, precision: str
) -> None:
    @settings(max_examples=3)
    @given(st.data(), plans)
    def check(data: st.DataObject, plan: Any) -> None:
        sizes = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 70)))
        shape = StackShape(cell, *sizes, data.draw(st.integers(1, 2)), data.draw(st.booleans()))
        case = random_case(
            shape,
            steps=data.draw(st.integers(1, 4)),
            batch=data.draw(st.integers(1, 9)),
            seed=data.draw(st.integers(0, 99)),
            ragged=data.draw(st.booleans()),
            states=data.draw(st.booleans()),
        )
        found = outputs_of(stack_of(case, precision, isa), pool, case, plan)
        assert_equals_oracle(found, case, TOLERANCES[precision])

    check()


def test_cpu_kernels_take_batch_first_views(pool: Any) -> None:
    case = plain_case()
    stack = stack_of(case)
    x = np.ascontiguousarray(case.x.swapaxes(0, 1))
    y = np.empty((*x.shape[:2], 24), np.float32)
    stack.run(pool, x.swapaxes(0, 1), y.swapaxes(0, 1))
    assert np.array_equal(y.swapaxes(0, 1), outputs_of(stack, pool, case)[0])


@pytest.mark.parametrize("cell", list(Cell))
def test_cpu_kernels_steps_equal_a_sequence(pool: Any, cell: Cell) -> None:
    case = plain_case(cell)
    stack = stack_of(case)
    y, h_n, *_ = outputs_of(stack, pool, case)
    h = np.zeros((2, 5, 24), np.float32)
    c = np.zeros_like(h) if cell is Cell.LSTM else None
    for x, expected in zip(case.x, y, strict=True):
        found = np.empty((5, 24), np.float32)
        stack.step(pool, x, found, h, c)
        assert np.allclose(found, expected, atol=1e-6)
    assert np.allclose(h, h_n, atol=1e-6)


def test_cpu_kernels_keep_a_nan_in_its_row(pool: Any) -> None:
    case = plain_case()
    whole = outputs_of(stack_of(case), pool, case)[0]
    case.x[2, 1] = np.nan
    found = outputs_of(stack_of(case), pool, case)[0]
    assert np.isnan(found[2:, 1]).all()
    assert np.array_equal(np.delete(found, 1, 1), np.delete(whole, 1, 1))
    assert np.array_equal(found[:2], whole[:2])


@pytest.mark.parametrize("cell", list(Cell))
def test_cpu_kernels_slots_join_and_leave_without_a_trace(pool: Any, cell: Cell) -> None:
    case = plain_case(cell, batch=4)
    stack = stack_of(case)
    expected = outputs_of(stack, pool, case)[0]
    slots = kernels.Slots(stack, 9)
    # Sequence i lives in slot places[i] and joins at chunk i; chunks are two steps long.
    places = (7, 0, 3, 5)
    for chunk in range(3 + len(places) - 1):
        company = [i for i in range(len(places)) if 0 <= chunk - i < 3]
        for i in company:
            if chunk == i:
                slots.reset(places[i])
        begins = [2 * (chunk - i) for i in company]
        x = np.stack([case.x[b : b + 2, i] for b, i in zip(begins, company, strict=True)], 1)
        y = np.empty((2, len(company), 24), np.float32)
        slots.advance(pool, np.array([places[i] for i in company], np.int32), x, y)
        for column, (begin, i) in enumerate(zip(begins, company, strict=True)):
            assert np.allclose(y[:, column], expected[begin : begin + 2, i], atol=1e-6)


def test_cpu_kernels_slots_stop_at_their_lengths(pool: Any) -> None:
    case = plain_case(batch=3)
    stack = stack_of(case)
    slots = kernels.Slots(stack, 3)
    ids = np.arange(3, dtype=np.int32)
    y = np.full((6, 3, 24), np.nan, np.float32)
    slots.advance(pool, ids, case.x, y, np.array([6, 0, 2], np.int32))
    expected, h_n, _ = outputs_of(stack, pool, case)
    assert np.allclose(y[:2, 2], expected[:2, 2], atol=1e-6)
    assert not y[2:, 2].any()
    assert not y[:, 1].any()
    h = np.empty((2, 24), np.float32)
    slots.read(0, h)
    assert np.allclose(h, h_n[:, 0], atol=1e-6)
    slots.read(1, h)
    assert not h.any()


def test_cpu_kernels_serve_python_threads_in_turns(pool: Any) -> None:
    case = plain_case()
    stack = stack_of(case)
    expected = outputs_of(stack, pool, case)[0]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: outputs_of(stack, pool, case)[0], range(12)))
    assert all(np.array_equal(one, expected) for one in found)


def test_cpu_kernels_refuse_a_closed_pool() -> None:
    case = plain_case()
    pool = kernels.Pool(2)
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        outputs_of(stack_of(case), pool, case)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cpu_kernels_refuse_a_pool_from_before_a_fork(pool: Any) -> None:
    case = plain_case()
    stack = stack_of(case)
    child = os.fork()
    if child == 0:
        try:
            outputs_of(stack, pool, case)
        except RuntimeError as refusal:
            os._exit(0 if "fork" in str(refusal) else 2)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.zeros((6, 5, 4), np.float32)}, r"x: expected float32 \[any, any, 3\]"),
        ({"x": np.zeros((6, 5, 3))}, r"got float64 \[6, 5, 3\]"),
        ({"x": np.zeros((6, 5, 6), np.float32)[:, :, ::2]}, "last axis contiguous"),
        ({"y": np.zeros((6, 5, 25), np.float32)}, r"y: expected float32 \[6, 5, 24\]"),
        ({"lengths": np.zeros(5, np.int64)}, r"lengths: expected int32 \[5\]"),
        ({"lengths": np.array([1, 2, 7, 0, 0], np.int32)}, "got 7, expected 0 to 6"),
        ({"h0": np.zeros((1, 5, 24), np.float32)}, r"h0: expected float32 \[2, 5, 24\]"),
    ],
)
def test_cpu_kernels_say_what_they_expected(pool: Any, change: dict[str, Any], said: str) -> None:
    case = plain_case()
    arrays = {"x": case.x, "y": np.empty((6, 5, 24), np.float32)} | change
    with pytest.raises(ValueError, match=said):
        stack_of(case).run(pool, **arrays)


def test_cpu_kernels_name_the_choices_when_one_is_unknown() -> None:
    case = plain_case()
    with pytest.raises(ValueError, match=r"got 'mmx', this machine runs: best, .*scalar"):
        stack_of(case, isa="mmx")
    with pytest.raises(ValueError, match="expected one of bf16, fp24, fp32"):
        stack_of(case, precision="fp8")
    with pytest.raises(ValueError, match="expected one of auto, directions, rows, units"):
        kernels.Plan(split="columns")


def test_cpu_kernels_refuse_slots_out_of_range_or_twice(pool: Any) -> None:
    case = plain_case(batch=2)
    slots = kernels.Slots(stack_of(case), 2)
    y = np.empty((6, 2, 24), np.float32)
    for ids, said in (([0, 2], "got 2, expected 0 to 1"), ([1, 1], "slot 1 is named twice")):
        with pytest.raises(ValueError, match=said):
            slots.advance(pool, np.array(ids, np.int32), case.x, y)


def test_cpu_kernels_run_nothing_for_an_empty_batch(pool: Any) -> None:
    stack = stack_of(plain_case())
    stack.run(pool, np.empty((6, 0, 3), np.float32), np.empty((6, 0, 24), np.float32))
    y = np.empty((0, 5, 24), np.float32)
    h_n = np.full((2, 5, 24), np.nan, np.float32)
    stack.run(pool, np.empty((0, 5, 3), np.float32), y, hT=h_n)
    assert not h_n.any()
