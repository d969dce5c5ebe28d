"""Calls of a CPU runner by the cost model's plans: which, from which constants, at what cost."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nexus.backend.kernels import call_plans
from nexus.backend.kernels.call_plans import CallPlans
from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.choose_runner import build_runner
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.constants_file import save
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_measurement import cpu_identity
from nexus.backend.kernels.model.cpu_plan import CpuPlan, Split
from nexus.backend.kernels.model.cpu_planner import decide
from nexus.backend.kernels.model.decision import Decision
from nexus.backend.kernels.model.workload import Workload
from nexus.backend.kernels.weights import random_weights
from tests.kernels.model_machines import LAPTOP, SERVER
from tests.kernels.recurrent_cases import random_case, relative_error

WIDE = StackShape(Cell.LSTM, 1024, 1024)
FAR_APART = replace(LAPTOP, exchange_ns=50_000.0)
"""Cores that need so long to exchange h that dividing rows is always better."""
PICK_LIMIT_NS = 5_000_000


@pytest.fixture
def extension() -> Any:
    return pytest.importorskip("nexus_cpu_kernels", reason="no CPU kernels installed")


@pytest.fixture
def weights_of_a_gru() -> Any:
    return random_weights(StackShape(Cell.GRU, 7, 33, 2), np.random.default_rng(0))


def test_call_plans_are_the_models_first_of_the_size_class() -> None:
    wanted = decide(Workload(WIDE, 4, 32), LAPTOP).chosen.configuration
    plans = CallPlans(WIDE, {Precision.FP32}, LAPTOP)
    assert {plans.of(batch, steps) for batch in (3, 4) for steps in (17, 32)} == {wanted}


def test_call_plans_use_only_weights_that_are_kept() -> None:
    both = CallPlans(WIDE, {Precision.FP32, Precision.FP24}, LAPTOP)
    assert both.of(1, 100).precision is Precision.FP24
    assert both.of(3, 100).precision is Precision.FP32
    for one in (Precision.FP32, Precision.FP24, Precision.BF16):
        assert CallPlans(WIDE, {one}, LAPTOP).of(1, 100).precision is one


def test_call_plans_decide_once_a_size_class(monkeypatch: pytest.MonkeyPatch) -> None:
    decided: list[tuple[int, int]] = []

    def counted(workload: Workload, constants: CpuConstants) -> Decision[CpuPlan]:
        decided.append((workload.batch, workload.steps))
        return decide(workload, constants)

    monkeypatch.setattr(call_plans, "decide", counted)
    plans = CallPlans(StackShape(Cell.GRU, 8, 64), {Precision.FP32}, LAPTOP)
    for steps in (*range(100), *range(100)):
        plans.of(5, steps)
    assert decided == [(8, 1 << power) for power in range(8)]


def test_call_plans_exist_for_any_size_of_call() -> None:
    plans = CallPlans(StackShape(Cell.LSTM, 1, 1), {Precision.FP32}, LAPTOP)
    for batch, steps in ((0, 0), (0, 5), (1 << 20, 1), (1, 1 << 30)):
        assert plans.of(batch, steps).precision is Precision.FP32


def test_call_plans_cost_less_than_five_milliseconds() -> None:
    # CPU time, the least of five: what others do on the machine is no matter of the planner's.
    spent_ns = []
    for _ in range(5):
        plans = CallPlans(replace(WIDE, bidirectional=True), {Precision.FP32}, SERVER)
        begun_ns = time.thread_time_ns()
        plans.of(2, 1000)
        spent_ns.append(time.thread_time_ns() - begun_ns)
    assert min(spent_ns) < PICK_LIMIT_NS


@pytest.mark.usefixtures("extension")
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_cpu_runner_follows_the_plan_and_answers_the_same(batch: int, bidirectional: bool) -> None:
    from nexus.backend.kernels.cpu_runner import CpuRunner  # noqa: PLC0415 - may be missing

    shape = StackShape(Cell.LSTM, 7, 65, 2, bidirectional)
    case = random_case(shape, steps=5, batch=batch, seed=1, ragged=True, states=True)
    runner = CpuRunner(case.weights, threads=2, constants=FAR_APART)
    stack, plan = runner._planned(batch, 5)
    wanted = CallPlans(shape, {Precision.FP32}, FAR_APART).of(batch, 5)
    assert plan is not None
    assert (plan.threads, plan.split) == (wanted.threads, wanted.split.value)
    used = stack.plan_for(batch, 5, 2, plan)
    assert (used.threads, used.chunk_rows) == (wanted.threads, wanted.chunk_rows)
    assert wanted.split is Split.DIRECTIONS if bidirectional and batch == 1 else wanted.split
    for found, expected in zip(
        runner.run(case.x, case.lengths, case.h0, case.c0), case.expected(), strict=True
    ):
        assert relative_error(found, expected) < 1e-5


@pytest.mark.usefixtures("extension")
def test_cpu_runner_divides_rows_where_exchanges_are_dear() -> None:
    from nexus.backend.kernels.cpu_runner import CpuRunner  # noqa: PLC0415 - may be missing

    weights = random_weights(StackShape(Cell.LSTM, 64, 64), np.random.default_rng(0))
    runner = CpuRunner(weights, threads=2, constants=FAR_APART)
    stack, plan = runner._planned(32, 25)
    assert plan is not None
    assert plan.split == "rows"
    assert stack.plan_for(32, 25, 2).split == "units", "the extension's own rule is another"


def test_build_runner_plans_by_the_constants_on_disk(
    extension: Any, weights_of_a_gru: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_KERNEL_CACHE", str(tmp_path))
    assert "planned" not in build_runner(weights_of_a_gru, threads=2).name
    assert not list(tmp_path.rglob("*.json")), "a process that serves measures nothing"
    save(cpu_identity(extension, 2), LAPTOP.to_data())
    assert "planned" in build_runner(weights_of_a_gru, threads=2).name
    assert "planned" not in build_runner(weights_of_a_gru, threads=1).name


@pytest.mark.usefixtures("extension")
def test_cpu_runner_plans_single_steps_too(weights_of_a_gru: Any) -> None:
    from nexus.backend.kernels.cpu_runner import CpuRunner  # noqa: PLC0415 - may be missing

    x = np.random.default_rng(1).standard_normal((6, 3, 7)).astype(np.float32)
    planned = CpuRunner(weights_of_a_gru, threads=2, constants=LAPTOP)
    h = np.zeros((2, 3, 33), np.float32)
    y = np.stack([planned.step(one, h) for one in x])
    assert np.allclose(y, CpuRunner(weights_of_a_gru, threads=1).run(x).y, atol=1e-6)
