"""The benchmark's arithmetic: which regime a point is in, ratios, means and verdicts."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch

from benchmarks.grnn_cpu import machine
from benchmarks.grnn_cpu.machine import Machine
from benchmarks.grnn_cpu.page import page
from benchmarks.grnn_cpu.regimes import REGIMES, Point, grid, regime_of
from benchmarks.grnn_cpu.results import Measured, geometric_mean
from benchmarks.grnn_cpu.timing import medians_us
from nexus.backend.kernels.cell import Cell

MACHINE = Machine(fma_per_us=50_000, bytes_per_us={64: 200_000, 1024: 100_000})
POINT = Point(Cell.LSTM, hidden=64, batch=1, steps=25, layers=1)
MEDIANS = {
    "torch 1": 300.0,
    "onnxruntime 2": 100.0,
    "openvino 1": 150.0,
    "ours 1": 60.0,
    "ours 2": 50.0,
    "ours strict 2": 80.0,
    "ours bf16 1": 20.0,
    "torch bf16 2": 130.0,
    "openvino bf16 1": 120.0,
}


def test_grnn_benchmark_every_point_is_in_one_regime() -> None:
    points = list(grid(quick=False))
    assert len(points) == len(set(points)) == 240
    assert all(sum(regime.holds(point) for regime in REGIMES) == 1 for point in points)
    assert {regime_of(point).name for point in points} == {regime.name for regime in REGIMES}
    assert set(grid(quick=True)) <= set(points)


def test_grnn_benchmark_compares_the_best_with_the_best() -> None:
    measured = Measured(POINT, MEDIANS, limit_us=25)
    assert measured.ratio == 2
    assert measured.strict_ratio == 1.25
    assert measured.bf16_ratio == 6
    assert measured.share == 0.5
    assert measured.peers_share == 0.25


def test_grnn_benchmark_limit_is_reading_or_multiplying() -> None:
    inputs_us = 256 * 64 * 25 / 50_000
    reading_us, multiplying_us = 25 * 4 * 256 * 64 / 200_000, 25 * 32 * 256 * 64 / 50_000
    assert MACHINE.limit_us(POINT) == pytest.approx(inputs_us + reading_us)
    many = Point(Cell.LSTM, hidden=64, batch=32, steps=25, layers=2)
    assert MACHINE.limit_us(many) == pytest.approx(2 * (32 * inputs_us + multiplying_us))


def test_grnn_benchmark_geometric_mean() -> None:
    assert geometric_mean([1, 4]) == pytest.approx(2)
    assert math.isnan(geometric_mean([]))


def test_grnn_benchmark_page_says_what_is_met() -> None:
    step = Measured(Point(Cell.GRU, 256, 1, 1, 1), {"onnxruntime 1": 50.0, "ours 1": 25.0})
    errors = {"ours 1": 2e-7, "ours bf16 1": 1e-3, "torch bf16 2": 1.0}
    text = page(MACHINE, "A machine.", [Measured(POINT, MEDIANS, errors, 25)], [step])
    assert (
        "| hidden <= 128, batch 1-2 | LSTM | 1 | 2.00 | **2.00** | 2.00 | 1.8 / 2.3 | floor met"
        in text
    )
    assert "6.00 | 5 / 6 | aim met | 1.0e-03 |" in text
    assert "0 of 1 points are under 0.95; the least is 2.00" in text
    assert "in fp32 against torch: 2.0e-07" in text
    assert "| GRU | 256 | 1 | 50.0 | 25.0 | **2.00** | 2.4 / 3 | missed |" in text


def test_grnn_benchmark_times_every_contender() -> None:
    calls = {"a": 0, "b": 0}

    def count(name: str) -> None:
        calls[name] += 1

    medians = medians_us({name: partial(count, name) for name in calls}, budget_s=0)
    assert set(medians) == {"a", "b"}
    assert all(median > 0 for median in medians.values())
    assert min(calls.values()) >= 3


@pytest.mark.parametrize(("times_us", "speed"), [((7.0, 15.0), 4096.0), ((7.0, 6.0), 327_680.0)])
def test_machine_reading_speed_leaves_out_what_a_call_costs(
    monkeypatch: pytest.MonkeyPatch, times_us: tuple[float, float], speed: float
) -> None:
    times = iter(times_us)

    def next_time(call: Callable[[], torch.Tensor]) -> float:
        assert len(call()) in machine.PASSES
        return next(times)

    monkeypatch.setattr(machine, "_fastest_us", next_time)
    assert machine.reading_speed(4096) == pytest.approx(speed)
