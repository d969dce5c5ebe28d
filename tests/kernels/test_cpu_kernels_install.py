"""A machine without a C++ compiler: what `make cpu-kernels` says, and that ONNX Runtime serves."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nexus.backend.kernels import choose_runner, grnn
from nexus.backend.kernels.accelerate import accelerate
from nexus.backend.kernels.onnx_runner import OnnxRunner

ROOT = Path(__file__).parents[2]
NO_COMPILER = "no C++ compiler: recurrent layers run on ONNX Runtime (install g++, then: make"
MAKE = shutil.which("make") or ""
needs_make = pytest.mark.skipif(not MAKE, reason="make is not installed")


class Recogniser(torch.nn.Module):
    """A small model with a recurrent layer in it."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = torch.nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.recurrent(x)[0])
        return scores


def made(venv: Path, compiler: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`make cpu-kernels` where nothing is on the PATH."""
    environment = {"PATH": str(venv)} | ({"CXX": str(compiler)} if compiler else {})
    command = [MAKE, "--no-print-directory", "cpu-kernels", f"VENV={venv}"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@needs_make
def test_make_cpu_kernels_without_a_compiler_says_who_serves(tmp_path: Path) -> None:
    script(tmp_path / "bin/pip", "exit 9")
    for compiler in (None, tmp_path / "missing"):
        done = made(tmp_path, compiler)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        assert done.stdout.startswith(NO_COMPILER)


@needs_make
def test_make_cpu_kernels_that_does_not_compile_names_the_log(tmp_path: Path) -> None:
    script(tmp_path / "bin/pip", "echo broken; exit 1")
    done = made(tmp_path, script(tmp_path / "c++", "exit 1"))
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    log = Path(done.stdout.strip().rpartition(" ")[2])
    assert log.read_text() == "broken\n"


@needs_make
def test_make_cpu_kernels_without_an_environment_says_so(tmp_path: Path) -> None:
    done = made(tmp_path)
    assert done.returncode != 0
    assert "make install" in done.stdout


def test_model_is_served_by_onnxruntime_where_the_kernels_are_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, choose_runner.EXTENSION, None)
    choose_runner.cpu_features.cache_clear()
    torch.manual_seed(0)
    model, x = Recogniser().eval(), torch.randn(3, 5, 8)
    try:
        with torch.inference_mode():
            expected = model(x)
            done = accelerate(model)
            found = model(x)
    finally:
        choose_runner.cpu_features.cache_clear()
    assert "onnxruntime" in str(done.swapped[0])
    layer = model.recurrent
    assert isinstance(layer, grnn.LSTM)
    assert isinstance(layer.runner, OnnxRunner)
    assert torch.allclose(found, expected, atol=1e-5)
