"""Which runner is chosen, and that a machine without the extension hears of it once."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from nexus.backend.kernels import choose_runner as module
from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.choose_runner import RunnerKind, build_runner, choose_runner
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.onnx_runner import OnnxRunner
from nexus.backend.kernels.weights import random_weights
from nexus.core.errors import FailedPreconditionError


def test_runner_choice_prefers_the_cpu_kernels() -> None:
    choice = choose_runner(("avx2", "scalar"), onnxruntime=True)
    assert choice.kind is RunnerKind.CPU_KERNELS
    assert "avx2" in choice.why


def test_runner_choice_falls_back_and_says_how_to_get_the_kernels() -> None:
    choice = choose_runner(None, onnxruntime=True, precision=Precision.BF16)
    assert choice.kind is RunnerKind.ONNXRUNTIME
    assert "in fp32 instead of bf16" in choice.why
    assert "pip install ./backend/cpu_kernels" in choice.why
    assert "instead" not in choose_runner(None, onnxruntime=True).why


def test_runner_choice_without_any_says_what_to_install() -> None:
    with pytest.raises(FailedPreconditionError, match="or install onnxruntime"):
        choose_runner(None, onnxruntime=False)


def test_runner_choice_of_the_fallback_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "cpu_features", lambda: None)
    module._say_once.cache_clear()
    weights = random_weights(StackShape(Cell.GRU, 3, 4), np.random.default_rng(0))
    with caplog.at_level(logging.WARNING):
        runners = [build_runner(weights) for _ in range(2)]
    assert all(isinstance(runner, OnnxRunner) for runner in runners)
    assert [record.message for record in caplog.records] == [
        choose_runner(None, onnxruntime=True).why
    ]


def test_runner_choice_does_not_import_torch() -> None:
    code = (
        "import sys, nexus.backend.server, nexus.backend.kernels.choose_runner as choose\n"
        "import nexus.backend.kernels.onnx_runner, nexus.backend.kernels.weights\n"
        "choose.cpu_features()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
