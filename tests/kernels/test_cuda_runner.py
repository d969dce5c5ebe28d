"""Whole stacks through CudaRunner: planned, launched, handed over; the GPU is emulated."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nexus.backend.kernels import oracle
from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cuda.configuration import Configuration
from nexus.backend.kernels.cuda.cuda_runner import HAND_OVER_BATCH, CudaRunner, plan_stages
from nexus.backend.kernels.cuda.device_limits import KNOWN, DeviceLimits
from nexus.backend.kernels.cuda.driver import driver_present
from nexus.backend.kernels.cuda.gpu_launcher import GpuLauncher
from nexus.backend.kernels.cuda.library_runner import LibraryRunner
from nexus.backend.kernels.cuda.persistent_layer import Launch
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import random_weights
from nexus.core.errors import FailedPreconditionError, InfeasibleError
from tests.kernels.cuda_emulator import COMPILER, PATIENCE_ROUNDS, Emulator, compile_kernel
from tests.kernels.recurrent_cases import Case, random_case, relative_error

SMALL = DeviceLimits("emulated", 90, 8, 100_000)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++")


class EmulatedGpu:
    """A launcher that compiles whatever it is given."""

    device = torch.device("cpu")
    limits = SMALL

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.launches = 0

    def launch(self, configuration: Configuration, launch: Launch) -> None:
        self.launches += 1
        library = compile_kernel(configuration, self._folder)
        Emulator(library, seed=self.launches).launch(configuration, launch)


def assert_equal(runner: CudaRunner | LibraryRunner, case: Case) -> None:
    expected = case.expected()
    found = runner.run(case.x, case.lengths, case.h0, case.c0)
    assert relative_error(found.y, expected.y) < 1e-5
    assert relative_error(found.h_n, expected.h_n) < 1e-5
    assert relative_error(found.c_n, expected.c_n) < 1e-5


@needs_compiler
@pytest.mark.parametrize(
    ("shape", "launches"),
    [
        (StackShape(Cell.LSTM, 5, 9, layers=2), 1),
        (StackShape(Cell.GRU, 5, 9, layers=2, bidirectional=True), 2),
        (StackShape(Cell.GRU_RESET_BEFORE, 5, 9, layers=2), 2),
    ],
)
def test_cuda_runner_equals_the_oracle(shape: StackShape, launches: int, emulated: Path) -> None:
    gpu = EmulatedGpu(emulated)
    weights = random_case(shape, steps=4, batch=3, seed=1, ragged=True, states=True)
    assert_equal(CudaRunner(weights.weights, gpu, patience_ticks=PATIENCE_ROUNDS), weights)
    assert gpu.launches == launches


@needs_compiler
def test_cuda_runner_steps_equal_the_whole(emulated: Path) -> None:
    shape = StackShape(Cell.LSTM, 5, 9, layers=2)
    case = random_case(shape, steps=3, batch=2, seed=2, ragged=False, states=False)
    runner = CudaRunner(case.weights, EmulatedGpu(emulated), patience_ticks=PATIENCE_ROUNDS)
    h, c = (np.zeros((2, 2, 9), np.float32) for _ in range(2))
    outputs = np.stack([runner.step(x, h, c) for x in case.x])
    expected = case.expected()
    assert relative_error(outputs, expected.y) < 1e-5
    assert relative_error(h, expected.h_n) < 1e-5
    assert relative_error(c, expected.c_n) < 1e-5


def test_cuda_runner_hands_large_batches_over(emulated: Path) -> None:
    gpu = EmulatedGpu(emulated)
    batch = HAND_OVER_BATCH[Precision.FP32]
    shape = StackShape(Cell.LSTM, 5, 9)
    case = random_case(shape, steps=3, batch=batch, seed=3, ragged=True, states=True)
    runner = CudaRunner(case.weights, gpu)
    assert runner.prepare(batch) == ()
    assert_equal(runner, case)
    assert gpu.launches == 0


@pytest.mark.parametrize("cell", [Cell.LSTM, Cell.GRU])
@pytest.mark.parametrize("ragged", [False, True])
def test_library_runner_equals_the_oracle(cell: Cell, ragged: bool) -> None:
    shape = StackShape(cell, 5, 7, layers=2, bidirectional=True)
    case = random_case(shape, steps=4, batch=5, seed=4, ragged=ragged, states=True)
    assert_equal(LibraryRunner(case.weights, torch.device("cpu")), case)


def test_plan_stages_runs_layers_as_a_wavefront_where_they_fit() -> None:
    h100 = KNOWN["h100"]
    ((first, choice),) = plan_stages(StackShape(Cell.LSTM, 80, 512, 3), Precision.BF16, 1, h100)
    assert (first, choice.configuration.layers) == (0, 3)
    apart = plan_stages(StackShape(Cell.LSTM, 1024, 1024, 4), Precision.FP32, 1, h100)
    assert [first for first, _ in apart] == [0, 1, 2, 3]


def test_plan_stages_hands_over_what_fits_no_gpu() -> None:
    h100 = KNOWN["h100"]
    assert plan_stages(StackShape(Cell.LSTM, 64, 4096), Precision.FP32, 1, h100) == []
    with pytest.raises(InfeasibleError, match="fits h100"):
        plan_stages(StackShape(Cell.GRU_RESET_BEFORE, 64, 4096), Precision.FP32, 1, h100)


@pytest.mark.skipif(driver_present(), reason="this machine has a driver")
def test_gpu_launcher_without_a_driver_says_so() -> None:
    with pytest.raises(FailedPreconditionError, match="no NVIDIA driver"):
        GpuLauncher()


@pytest.mark.gpu
@pytest.mark.parametrize("cell", list(Cell))
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_cuda_runner_on_a_gpu_equals_the_oracle(cell: Cell, precision: Precision) -> None:
    if not driver_present():
        pytest.skip("no NVIDIA driver here")
    shape = StackShape(cell, 130, 257, layers=2)
    chance = np.random.default_rng(5)
    weights = random_weights(shape, chance)
    x = chance.standard_normal((20, 3, 130)).astype(np.float32)
    found = CudaRunner(weights, GpuLauncher(), precision).run(x, [20, 0, 7])
    expected = oracle.run(weights, torch.from_numpy(x).double(), [20, 0, 7])
    tolerance = 1e-5 if precision is Precision.FP32 else 5e-3
    assert relative_error(found.y, expected.y) < tolerance
