"""The GPU's cost model: lower bounds known from arithmetic, limits, and the hand-over to cuDNN."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda import device_limits
from nexus.backend.kernels.cuda.choice import Demand, candidates
from nexus.backend.kernels.cuda.configuration import Exchange
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.cost import Cost
from nexus.backend.kernels.model.gpu import (
    KNOWN,
    GpuConstants,
    gpu_identity,
    known_gpu,
    save_constants,
    with_constants_of,
    with_saved_constants,
)
from nexus.backend.kernels.model.gpu_cost import library_cost, persistent_cost
from nexus.backend.kernels.model.gpu_planner import Form, GpuPlan, decide
from nexus.backend.kernels.model.workload import Workload
from nexus.core.errors import DocumentError, InvalidArgumentError, NotFoundError

H100 = KNOWN["h100"]
FP32, BF16, FP16 = Precision.FP32, Precision.BF16, Precision.FP16


def lstm(
    hidden: int, batch: int = 1, precision: Precision = FP32, *, layers: int = 1, steps: int = 100
) -> Workload:
    return Workload(StackShape(Cell.LSTM, hidden, hidden, layers), batch, steps, precision)


def step_us(cost: Cost) -> float:
    names = {"products", "reductions", "fixed", "exchange"}
    return sum(term.time_us for term in cost.terms if term.name in names) / 100


def test_known_gpus_are_those_that_kernels_are_compiled_for() -> None:
    assert set(KNOWN) == set(device_limits.KNOWN)
    with pytest.raises(NotFoundError, match="h100"):
        known_gpu("tpu")


@pytest.mark.parametrize(
    ("hidden", "precision", "low_us", "high_us"),
    [
        (128, FP32, 0.3, 0.6),
        (256, FP32, 0.35, 0.7),
        (512, FP32, 0.6, 1.1),
        (1024, FP32, 0.8, 1.3),
        (1024, BF16, 0.6, 1.2),
        (1536, BF16, 0.8, 1.6),
    ],
)
def test_a_step_on_an_h100_takes_what_its_parts_must(
    hidden: int, precision: Precision, low_us: float, high_us: float
) -> None:
    """Between the sum of the parts' lower bounds and about twice that."""
    chosen = decide(lstm(hidden, 1, precision), H100).stages[0].decision.chosen
    assert chosen.configuration.configuration is not None
    assert low_us < step_us(chosen.cost) < high_us


@pytest.mark.parametrize(("batch", "handed_over"), [(1, False), (8, False), (256, True)])
def test_decide_hands_large_batches_over(batch: int, handed_over: bool) -> None:
    decision = decide(lstm(1024, batch, BF16), H100).stages[0].decision
    assert (decision.chosen.configuration == GpuPlan(None)) is handed_over


def test_decide_hands_over_what_no_gpu_can_hold() -> None:
    decision = decide(lstm(4096), H100).stages[0].decision
    assert [one.configuration for one in decision.ranked] == [GpuPlan(None)]


def test_decide_counts_what_each_limit_rules_out() -> None:
    workload = lstm(1024, 4)
    decision = decide(workload, H100, pruned=True).stages[0].decision
    counts = {one.limit: one.count for one in decision.pruned}
    assert min(counts.values()) > 0
    assert "shared memory" in counts
    for one in decision.pruned:
        assert "units x" in one.example
    assert decide(workload, H100).stages[0].decision.pruned == ()


def test_decide_ranks_exactly_what_can_run() -> None:
    workload = lstm(256, 4)
    ranked = decide(workload, H100).stages[0].decision.ranked
    runnable = [
        GpuPlan(choice.configuration, choice.tiles)
        for fused in (False, True)
        for choice in candidates(Demand(Cell.LSTM, FP32, 256, 256, 4, fused=fused), H100.limits)
    ]
    assert {one.configuration for one in ranked} == {GpuPlan(None), *runnable}
    times = [one.cost.total_us for one in ranked]
    assert times == sorted(times)


def test_decide_runs_small_layers_as_a_wavefront() -> None:
    decision = decide(lstm(256, 1, BF16, layers=3), H100)
    assert decision.form is Form.WAVEFRONT
    assert decision.other_us is not None
    assert decision.cost.total_us < decision.other_us


def test_decide_runs_large_layers_one_after_the_other() -> None:
    decision = decide(lstm(1024, layers=2), H100)
    assert (decision.form, decision.stages[0].repeats) == (Form.LAYERS, 2)
    one = decide(lstm(1024), H100)
    assert decision.cost.total_us == pytest.approx(2 * one.cost.total_us)


def test_decide_tells_the_first_layer_from_those_above() -> None:
    shape = StackShape(Cell.GRU, 40, 512, 3, bidirectional=True)
    stages = decide(Workload(shape, 2, 50, BF16), H100).stages
    assert [(stage.name, stage.repeats) for stage in stages] == [
        ("the first layer", 1),
        ("each layer above", 2),
    ]


def test_decide_refuses_a_precision_that_no_gpu_kernel_has() -> None:
    with pytest.raises(InvalidArgumentError, match="fp24"):
        decide(lstm(64, precision=Precision.FP24), H100)


def test_persistent_cost_is_cheaper_in_a_cluster_and_dearest_by_counters() -> None:
    choices = candidates(Demand(Cell.LSTM, FP32, 256, 256), H100.limits)
    one = next(c for c in choices if c.configuration.exchange is Exchange.CLUSTER)
    cluster, words, counter = (
        persistent_cost(replace(one.configuration, exchange=how), 1, 1, 100, H100).total_us
        for how in (Exchange.CLUSTER, Exchange.WORDS, Exchange.COUNTER)
    )
    assert cluster < words < counter


def test_library_cost_knows_where_cudnn_persists() -> None:
    def products_us(workload: Workload) -> float:
        cost = library_cost(workload, workload.shape.layer(0), H100)
        return next(term.time_us for term in cost.terms if term.name == "products")

    assert products_us(lstm(128)) < 200
    assert products_us(lstm(768, 16, FP16)) < 200
    assert products_us(lstm(768, 16, BF16)) > 700
    assert products_us(lstm(768, 12, FP16)) > 700


def test_constants_say_which_nobody_has_measured() -> None:
    constants = GpuConstants()
    assert "words_ns" in constants.estimated
    known = constants.with_measured({"words_ns": 512.0, "launch_us": 4})
    assert (known.words_ns, known.launch_us) == (512.0, 4.0)
    assert set(constants.estimated) - set(known.estimated) == {"words_ns", "launch_us"}


@pytest.mark.parametrize(
    "wrong", [{"words_us": 1.0}, {"words_ns": 0}, {"words_ns": float("nan")}, {"measured": 1}]
)
def test_constants_refuse_what_is_no_measurement(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="constants of a GPU"):
        GpuConstants().with_measured(wrong)


def test_measured_constants_are_of_one_device_and_driver(tmp_path: Path) -> None:
    identity = gpu_identity("H100", "GPU-1", "580")
    path = save_constants(identity, {"words_ns": 512.0}, tmp_path)
    assert with_saved_constants(H100, identity, tmp_path).constants.words_ns == 512.0
    assert with_constants_of(H100, path).constants.words_ns == 512.0
    other = gpu_identity("H100", "GPU-1", "581")
    assert with_saved_constants(H100, other, tmp_path) == H100


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"constants": {"speed": 1}})])
def test_constants_of_a_file_that_is_none_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "constants.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match="constants"):
        with_constants_of(H100, path)


def test_measured_constants_change_the_choice() -> None:
    """Clusters that were slow would not be chosen: the ranking follows the measurement."""
    slow = replace(H100, constants=H100.constants.with_measured({"cluster_ns": 5_000.0}))
    chosen = [
        decide(lstm(256), gpu).stages[0].decision.chosen.configuration.configuration
        for gpu in (H100, slow)
    ]
    exchanges = [one.exchange for one in chosen if one is not None]
    assert exchanges == [Exchange.CLUSTER, Exchange.WORDS]
