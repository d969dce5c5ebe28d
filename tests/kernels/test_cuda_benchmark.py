"""The GPU benchmark's own code, with the emulator as its GPU: what it says, and when it fails."""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.grnn_gpu.__main__ import Machine, main, plot, report, table_line
from benchmarks.grnn_gpu.clock import Call
from benchmarks.grnn_gpu.points import Point
from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.driver import driver_present
from tests.kernels.cuda_emulator import COMPILER, PATIENCE_ROUNDS
from tests.kernels.test_cuda_runner import EmulatedGpu


class CpuClock:
    """One call each; a graph is the call itself."""

    def medians_us(self, calls: Mapping[str, Call]) -> dict[str, float]:
        times = {}
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name] = (time.perf_counter() - begin) * 1e6
        return times

    def graphed(self, call: Call) -> Call:
        return call


SMALL = (
    Point(Cell.LSTM, Precision.FP32, 6, 1, steps=3),
    Point(Cell.LSTM, Precision.FP32, 6, 2, steps=3, layers=2, ragged=True),
)


@pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++")
def test_gpu_benchmark_checks_times_and_draws(
    tmp_path: Path,
    emulated: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = "benchmarks.grnn_gpu.__main__"
    monkeypatch.setattr(f"{module}.CHECKED", SMALL)
    monkeypatch.setattr(f"{module}.QUICK", SMALL)
    monkeypatch.setattr(f"{module}.TUNED", 1)
    monkeypatch.setattr(f"{module}.QUICK_SHARE", 1)
    monkeypatch.setattr(f"{module}.REPEATS_QUICK", 2)
    machine = Machine(EmulatedGpu(emulated), CpuClock(), PATIENCE_ROUNDS)
    arguments = argparse.Namespace(
        quick=True, only="", json=tmp_path / "out.json", plot=tmp_path / "out.svg"
    )
    code = report(machine, arguments)
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "differ" in printed
    assert "estimated" in printed
    assert "best against best" in printed
    assert (tmp_path / "out.json").read_text().startswith('{\n "device": "emulated"')
    assert (tmp_path / "out.svg").read_text().startswith("<svg")


def test_gpu_benchmark_says_what_failed() -> None:
    assert table_line({"point": "lstm", "error": "gave up"}).startswith("FAILED")
    assert "<svg" in plot([{"point": "a", "speed_up": 2.0, "speed_up_best": 1.5}], "h100")


@pytest.mark.skipif(driver_present(), reason="this machine has a driver")
def test_gpu_benchmark_without_a_gpu_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "nothing is measured" in capsys.readouterr().out
