"""The CPU's cost model: what each term answers to, and what the planner makes of it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.cost import Cost, Term, summed
from nexus.backend.kernels.model.cpu_constants import (
    Bandwidth,
    CpuConstants,
    apart,
    together,
)
from nexus.backend.kernels.model.cpu_cost import predict, share_of
from nexus.backend.kernels.model.cpu_instructions import KNOWN, instruction_set
from nexus.backend.kernels.model.cpu_plan import CpuPlan, Split
from nexus.backend.kernels.model.cpu_planner import candidates, decide, exceeded
from nexus.backend.kernels.model.workload import BATCH_MAX, Workload
from nexus.core.errors import InfeasibleError, InvalidArgumentError
from tests.kernels.model_machines import LAPTOP, SERVER, SINGLE

SOURCES = Path(__file__).parents[2] / "backend" / "cpu_kernels" / "src"
MACHINES = (LAPTOP, SERVER, SINGLE)
ONE = CpuPlan(Precision.FP32)
TWO = CpuPlan(Precision.FP32, 2)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    shape = StackShape(
        draw(st.sampled_from(list(Cell))),
        draw(st.integers(1, 1200)),
        draw(st.integers(1, 2048)),
        draw(st.integers(1, 3)),
        draw(st.booleans()),
    )
    precision = draw(st.sampled_from([Precision.FP32, Precision.BF16]))
    return Workload(shape, draw(st.integers(1, 64)), draw(st.integers(1, 200)), precision)


def lstm(hidden: int, batch: int = 1, steps: int = 100, *, layers: int = 1) -> Workload:
    return Workload(StackShape(Cell.LSTM, hidden, hidden, layers), batch, steps)


def term(cost: Cost, name: str) -> float:
    return next(one.time_us for one in cost.terms if one.name == name)


@pytest.mark.parametrize("name", ["avx2", "avx512", "neon", "scalar"])
def test_instruction_set_has_the_extensions_registers(name: str) -> None:
    text = (SOURCES / f"simd_{name}.h").read_text()

    def constant(of: str) -> int:
        found = re.search(rf"constexpr int {of} = (\d+);", text)
        assert found, (of, name)
        return int(found[1])

    one = KNOWN[name]
    sizes = tuple(constant(of) for of in ("kLanes", "kLstmRows", "kGruRows"))
    assert (one.lanes, one.lstm_rows, one.gru_rows) == sizes


def test_instruction_set_unknown_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgumentError, match="sve2"):
        instruction_set("sve2")


def test_predict_adds_the_call_once_and_each_layer() -> None:
    one, two = (predict(lstm(64, layers=layers), ONE, LAPTOP) for layers in (1, 2))
    assert term(one, "call") == term(two, "call") == pytest.approx(0.9)
    assert two.total_us - 0.9 == pytest.approx(2 * (one.total_us - 0.9))


def test_predict_of_a_large_batch_is_bound_by_multiply_adds() -> None:
    cost = predict(lstm(256, batch=32), ONE, LAPTOP)
    vectors = 4 * 256 * 256 / 8
    assert term(cost, "steps") == pytest.approx(99 * 32 * vectors * 0.22 / 1e3, rel=0.05)
    assert "multiply-adds" in cost.largest.why or cost.largest.name == "inputs"


def test_predict_of_one_row_is_bound_by_loads() -> None:
    cost = predict(lstm(1024), ONE, LAPTOP)
    size = 4 * 1024 * 1024 * 4
    loads_us = 99 * size / LAPTOP.alone.at(size) / 1e3
    assert loads_us < term(cost, "steps") < 1.2 * loads_us
    assert "loads" in cost.largest.why


def test_predict_charges_an_exchange_only_where_units_are_shared() -> None:
    workload = lstm(128, batch=4)
    by_rows = CpuPlan(Precision.FP32, 2, Split.ROWS)
    assert term(predict(workload, ONE, LAPTOP), "exchange") == 0
    assert term(predict(workload, by_rows, LAPTOP), "exchange") == 0
    assert term(predict(workload, TWO, LAPTOP), "exchange") == pytest.approx(
        99 * (90 + 3 * 60) / 1e3
    )


def test_predict_charges_a_gru_that_resets_before_two_exchanges() -> None:
    after, before = (
        predict(Workload(StackShape(cell, 64, 64), 1, 11), TWO, LAPTOP)
        for cell in (Cell.GRU, Cell.GRU_RESET_BEFORE)
    )
    assert term(before, "exchange") == pytest.approx(2 * term(after, "exchange"))


def test_share_of_units_leaves_no_cache_line_to_two_threads() -> None:
    # 100 units are 13 vectors of 8, in 7 lines of 16: four lines for the busier thread.
    share = share_of(lstm(100), TWO, KNOWN["avx2"])
    assert (share.tiles, share.team, share.busy) == (8, 2, 2)


def test_share_of_directions_halves_the_team() -> None:
    shape = StackShape(Cell.GRU, 64, 64, bidirectional=True)
    plan = CpuPlan(Precision.FP32, 2, Split.DIRECTIONS)
    share = share_of(Workload(shape, 3, 5), plan, KNOWN["avx2"])
    assert (share.tiles, share.team, share.turns) == (8, 1, 1)


@given(workloads(), st.sampled_from(MACHINES))
def test_predict_grows_with_steps_and_layers(workload: Workload, machine: CpuConstants) -> None:
    shape = workload.shape
    longer = replace(workload, steps=workload.steps + 1)
    deeper = replace(workload, shape=replace(shape, layers=shape.layers + 1))
    for plan in candidates(workload, machine):
        base = predict(workload, plan, machine).total_us
        assert 0 < base < predict(longer, plan, machine).total_us
        assert base < predict(deeper, plan, machine).total_us


@given(workloads(), st.sampled_from(MACHINES))
def test_decide_ranks_all_that_no_limit_rules_out(
    workload: Workload, machine: CpuConstants
) -> None:
    decision = decide(workload, machine)
    times = [one.cost.total_us for one in decision.ranked]
    assert times == sorted(times)
    plans = list(candidates(workload, machine))
    assert len(decision.ranked) + sum(one.count for one in decision.pruned) == len(plans)
    for one in decision.ranked:
        assert not exceeded(workload, one.configuration, machine)
        assert one.configuration.threads <= machine.threads
    assert len(plans) <= 128, "the space is searched at every load"


def test_decide_uses_one_thread_where_an_exchange_costs_more_than_a_step() -> None:
    slow = replace(LAPTOP, exchange_ns=5_000.0)
    assert decide(lstm(32), slow).chosen.configuration.threads == 1
    assert decide(lstm(512), slow).chosen.configuration.threads == 2


def test_decide_splits_rows_where_there_are_enough_and_exchanges_are_dear() -> None:
    slow = replace(LAPTOP, exchange_ns=20_000.0)
    chosen = decide(lstm(64, batch=32), slow).chosen.configuration
    assert (chosen.threads, chosen.split) == (2, Split.ROWS)


def test_decide_takes_three_bytes_a_weight_for_few_rows_from_beyond_l2_only() -> None:
    assert decide(lstm(1024), LAPTOP).chosen.configuration.precision is Precision.FP24
    assert decide(lstm(1024, batch=3), LAPTOP).chosen.configuration.precision is Precision.FP32
    in_l2 = decide(lstm(256), replace(LAPTOP, threads=1, chunk_bytes_max=1 << 20))
    assert {one.configuration.precision for one in in_l2.ranked} == {Precision.FP32}


def test_decide_names_the_limits_that_rule_plans_out() -> None:
    pruned = {one.limit: one for one in decide(lstm(1024, steps=1000), LAPTOP).pruned}
    assert any("L2" in limit for limit in pruned)
    assert pruned["more threads than rows"].count == 10


def test_decide_refuses_a_precision_that_the_kernels_lack() -> None:
    workload = replace(lstm(64), precision=Precision.FP16)
    with pytest.raises(InfeasibleError, match="fp16"):
        decide(workload, LAPTOP)


@pytest.mark.parametrize(("batch", "steps"), [(0, 1), (BATCH_MAX + 1, 1), (1, 0)])
def test_workload_refuses_what_nothing_can_run(batch: int, steps: int) -> None:
    with pytest.raises(InvalidArgumentError, match=r"batch=|steps="):
        lstm(64, batch, steps)


def test_workload_reads_as_a_sentence() -> None:
    shape = StackShape(Cell.GRU, 80, 256, 2, bidirectional=True)
    text = "gru 80 -> 256, 2 layers, bidirectional, batch 4, 30 steps, bf16"
    assert str(Workload(shape, 4, 30, Precision.BF16)) == text


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_together_lies_between_the_longer_and_the_sum(first: float, second: float) -> None:
    both = together(first, second)
    assert max(first, second) <= both <= first + second
    if max(first, second) < 20 * min(first, second):
        assert apart(both, first, 0.0) == pytest.approx(second, rel=1e-3)


def test_apart_of_noise_is_the_least() -> None:
    assert apart(1.0, 2.0, 0.125) == apart(-1.0, 2.0, 0.125) == apart(-1.0, 0.0, 0.125) == 0.125


def test_bandwidth_lies_on_a_line_between_the_sizes_around() -> None:
    rates = Bandwidth((1024, 4096), (100.0, 50.0))
    assert [rates.at(size) for size in (1, 1024, 2048, 4096, 1 << 30)] == [100, 100, 75, 50, 50]


def test_constants_come_back_from_plain_data() -> None:
    for machine in MACHINES:
        assert CpuConstants.from_data(machine.to_data()) == machine


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("call_ns", "soon"),
        ("step_ns", -1.0),
        ("exchange_ns", float("nan")),
        ("vectors", {"fp32": {"once_ns": 0, "row_ns": 0}}),
        ("alone", {"working_sets": [2, 1], "bytes_per_ns": [1, 1]}),
        ("alone", {"working_sets": [], "bytes_per_ns": []}),
    ],
)
def test_constants_refuse_what_is_no_time(name: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        CpuConstants.from_data(LAPTOP.to_data() | {name: value})


def test_summed_adds_terms_of_a_name() -> None:
    cost = summed((Cost((Term("a", 1, "x"),)), Cost((Term("a", 2, "y"), Term("b", 5, "z")))))
    assert cost.terms == (Term("a", 3, "x"), Term("b", 5, "z"))
    assert (cost.total_us, cost.largest.name) == (8, "b")
