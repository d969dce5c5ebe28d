"""Taking constants: from times to constants and back, files that are of no use, finalists."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.choose_runner import cpu_features
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model import constants_file, cpu_measurement
from nexus.backend.kernels.model.constants_file import Identity, load, save
from nexus.backend.kernels.model.cpu_autotune import plan_from_data, plan_to_data, tuned_plan
from nexus.backend.kernels.model.cpu_constants import CpuConstants
from nexus.backend.kernels.model.cpu_cost import predict
from nexus.backend.kernels.model.cpu_instructions import KNOWN
from nexus.backend.kernels.model.cpu_measurement import (
    PRECISIONS,
    cpu_constants,
    cpu_model,
    l2_bytes,
    measure,
    shortest,
)
from nexus.backend.kernels.model.cpu_plan import CpuPlan, Split
from nexus.backend.kernels.model.cpu_planner import decide
from nexus.backend.kernels.model.cpu_probe import constants_from, probes
from nexus.backend.kernels.model.workload import Workload
from tests.kernels.model_machines import LAPTOP, SERVER, SINGLE

IDENTITY = Identity("cpu", {"cpu": "a", "extension": "b"})
needs_extension = pytest.mark.skipif(cpu_features() is None, reason="no CPU kernels installed")


@dataclass
class FakeClock:
    """A clock that runs move on."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class FakeRun:
    """Takes the given times in turn, then the last again and again."""

    clock: FakeClock
    times_ns: list[int]
    tries: int = field(default=0)

    def __call__(self) -> None:
        self.clock.now_ns += self.times_ns[min(self.tries, len(self.times_ns) - 1)]
        self.tries += 1


@pytest.mark.parametrize("machine", [LAPTOP, SERVER, SINGLE], ids=["laptop", "server", "single"])
def test_constants_follow_from_the_times_they_predict(machine: CpuConstants) -> None:
    instructions = KNOWN[machine.instructions]
    times = {
        probe: predict(probe.workload, probe.plan, machine).total_us * 1e3
        for probe in probes(instructions, machine.threads, PRECISIONS)
    }
    found = constants_from(
        times, instructions, machine.threads, PRECISIONS, machine.chunk_bytes_max
    )
    for precision, wanted in machine.vectors.items():
        assert found.vectors[precision].row_ns == pytest.approx(wanted.row_ns, rel=0.05)
    for cell, cell_ns in machine.cells_ns.items():
        assert found.cells_ns[cell] == pytest.approx(cell_ns, rel=0.1)
    assert found.call_ns == pytest.approx(machine.call_ns, rel=0.1)
    # What matters: predictions of other workloads than those timed.
    for hidden, batch, steps in ((64, 1, 100), (96, 7, 30), (512, 1, 25), (700, 32, 10)):
        workload = Workload(StackShape(Cell.GRU, hidden, hidden, 2), batch, steps)
        for plan in [one.configuration for one in decide(workload, machine).ranked]:
            wanted_us = predict(workload, plan, machine).total_us
            assert predict(workload, plan, found).total_us == pytest.approx(wanted_us, rel=0.1)


def test_shortest_takes_the_shortest_and_gives_each_the_same_time() -> None:
    clock = FakeClock()
    quick = FakeRun(clock, [900, 700, 100, 800])
    slow = FakeRun(clock, [5_000_000, 4_000_000])
    times = shortest({"quick": quick, "slow": slow}, 60_000_000, clock)
    assert times == {"quick": 100, "slow": 4_000_000}
    assert slow.tries < 10 < quick.tries


def test_shortest_tries_everything_even_without_a_budget() -> None:
    clock = FakeClock()
    runs = {name: FakeRun(clock, [7]) for name in "abc"}
    assert shortest(runs, 0, clock) == dict.fromkeys("abc", 7)


def test_load_finds_what_was_saved_for_the_same_identity_only(tmp_path: Path) -> None:
    save(IDENTITY, LAPTOP.to_data(), tmp_path)
    assert load(IDENTITY, CpuConstants.from_data, tmp_path) == LAPTOP
    other = replace(IDENTITY, fields={**IDENTITY.fields, "cpu": "c"})
    assert load(other, CpuConstants.from_data, tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"format": 1, "identity": {"cpu": "a", "extension": "b"}}',
        '{"format": 1, "identity": {"cpu": "a", "extension": "b"}, "constants": {"threads": 2}}',
        '{"format": 1, "identity": {"cpu": "a", "extension": "b"}, "constants": 5}',
        '{"format": 99, "identity": {"cpu": "a", "extension": "b"}, "constants": {}}',
        '{"format": 1, "identity": {"cpu": "other"}, "constants": {}}',
    ],
)
def test_load_counts_a_corrupt_or_foreign_file_as_none(tmp_path: Path, text: str) -> None:
    path = IDENTITY.path(tmp_path)
    path.write_text(text)
    assert load(IDENTITY, CpuConstants.from_data, tmp_path) is None


def test_load_counts_a_file_with_one_wrong_number_as_none(tmp_path: Path) -> None:
    path = save(IDENTITY, LAPTOP.to_data(), tmp_path)
    data = json.loads(path.read_text())
    data["constants"]["call_ns"] = -1
    path.write_text(json.dumps(data))
    assert load(IDENTITY, CpuConstants.from_data, tmp_path) is None


def test_save_where_nothing_can_be_written_is_no_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    save(IDENTITY, {}, blocked / "folder")
    assert load(IDENTITY, CpuConstants.from_data, blocked / "folder") is None


def test_constants_lie_beside_the_compiled_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_KERNEL_CACHE", str(tmp_path))
    path = save(IDENTITY, {})
    assert path.is_relative_to(tmp_path)
    assert path.name.startswith("cpu-")
    assert json.loads(path.read_text())["format"] == constants_file.FORMAT


def test_cpu_model_is_read_from_the_first_core(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Quick 1\nmodel\t: 7\n\nmodel name\t: Quick 2\n")
    assert cpu_model(info) == "model name Quick 1, model 7"
    assert cpu_model(tmp_path / "missing")


def test_l2_bytes_has_an_answer_where_the_system_has_none(tmp_path: Path) -> None:
    size = tmp_path / "size"
    size.write_text("1024K\n")
    assert l2_bytes(size) == 1 << 20
    size.write_text("plenty")
    assert l2_bytes(size) == l2_bytes(tmp_path / "missing") == 512 * 1024


def test_plan_comes_back_from_plain_data_and_refuses_other() -> None:
    plan = CpuPlan(Precision.BF16, 2, Split.ROWS, 3, 96)
    assert plan_from_data(plan_to_data(plan)) == plan
    with pytest.raises(ValueError, match="counts"):
        plan_from_data(plan_to_data(plan) | {"chunk_rows": 0})


@pytest.fixture
def extension() -> Any:
    return pytest.importorskip("nexus_cpu_kernels", reason="no CPU kernels installed")


@needs_extension
def test_measure_gives_constants_that_can_be_kept(extension: Any) -> None:
    found = measure(extension, 1, budget_ns=0)
    assert CpuConstants.from_data(found.to_data()) == found
    assert found.instructions == extension.features()[0]


@needs_extension
def test_cpu_constants_are_measured_once(
    extension: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def fake_measure(_: Any, threads: int) -> CpuConstants:
        taken.append(threads)
        return LAPTOP

    monkeypatch.setattr(cpu_measurement, "measure", fake_measure)
    first = cpu_constants(extension, 2, tmp_path)
    again = cpu_constants(extension, 2, tmp_path)
    assert (first, again, taken) == (LAPTOP, LAPTOP, [2])
    cpu_constants(extension, 2, tmp_path, fresh=True)
    cpu_constants(extension, 1, tmp_path)
    assert taken == [2, 2, 1]
    next(tmp_path.glob("*.json")).write_text("{")
    cpu_constants(extension, 1, tmp_path)
    cpu_constants(extension, 2, tmp_path)
    assert len(taken) == 4


@needs_extension
def test_tuned_plan_is_one_of_the_best_three_and_remembered(extension: Any, tmp_path: Path) -> None:
    workload = Workload(StackShape(Cell.GRU, 16, 16), 2, 5)
    decision = decide(workload, SINGLE)
    tuned: Callable[[], CpuPlan] = lambda: tuned_plan(  # noqa: E731 - called twice below
        extension, 1, workload, decision, tmp_path
    )
    plan = tuned()
    assert plan in [one.configuration for one in decision.ranked[:3]]
    (path,) = tmp_path.glob("tuned-*.json")
    data = json.loads(path.read_text())
    other = replace(plan, chunk_rows=12)
    path.write_text(json.dumps(data | {"constants": plan_to_data(other)}))
    assert tuned() == other
