"""``nexus kernels explain``: choice, runners-up and reasons, for people and for programs."""

import json
import sys

import pytest

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.cpu_planner import decide
from nexus.backend.kernels.model.gpu import KNOWN
from nexus.backend.kernels.model.workload import Workload
from nexus.cli.kernels_view import cpu_json, cpu_lines, unmeasured
from nexus.cli.main import main
from tests.kernels.model_machines import LAPTOP

GPU = ["kernels", "explain", "--cell", "lstm", "--hidden", "256", "--device", "h100"]
WORKLOAD = Workload(StackShape(Cell.LSTM, 512, 512), 1, 100)


def test_explain_prints_choice_terms_limits_and_that_nothing_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*GPU, "--batch", "4", "--runners-up", "2"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "lstm 256 -> 256, batch 4, 100 steps, fp32 on h100"
    for wanted in ("CONFIGURATION", "WHY NOT", "cuDNN", "exchange", "LEFT OUT", "ESTIMATES"):
        assert wanted in out
    assert max(map(len, lines)) < 160
    ranked = [line for line in lines if line.lstrip()[:2] in {"1 ", "2 ", "3 ", "4 "}]
    assert len(ranked) >= 3


def test_explain_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GPU, "--layers", "2", "--precision", "bf16", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["measured"] is False
    assert "words_ns" in data["estimated_constants"]
    assert data["form"] in {"layer by layer", "all layers in one launch, as a wavefront"}
    first = data["stages"][0]["ranked"][0]
    assert sum(first["terms_us"].values()) == pytest.approx(first["total_us"], abs=0.01)


def test_explain_of_the_cpu_shows_what_was_timed_and_the_constants() -> None:
    decision = decide(WORKLOAD, LAPTOP)
    timed = {decision.chosen.configuration: 1234.5}
    text = "\n".join(cpu_lines(WORKLOAD, decision, LAPTOP, timed, 1))
    assert "1234.5" in text
    assert "us a step. Measured on this machine (avx2)" in text
    assert "more threads than rows" in text
    data = cpu_json(WORKLOAD, decision, LAPTOP, timed, 1)
    assert json.loads(json.dumps(data))["ranked"][0]["place"] == 1
    assert len(data["ranked"]) == 2


def test_explain_names_a_device_that_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GPU[:-1], "tpu"]) == 1
    assert "a100" in capsys.readouterr().err


def test_explain_without_the_extension_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nexus_cpu_kernels", None)
    assert main(["kernels", "explain", "--hidden", "64"]) == 1
    assert "pip install ./backend/cpu_kernels" in capsys.readouterr().err


def test_explain_refuses_sizes_that_no_kernel_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GPU, "--batch", "0"]) == 2
    assert "batch=0" in capsys.readouterr().err


def test_unmeasured_is_said_until_everything_was_measured() -> None:
    gpu = KNOWN["a100"]
    assert "no constant was measured on a100" in unmeasured(gpu)
