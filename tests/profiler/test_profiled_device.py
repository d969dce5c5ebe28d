"""The profiler on the real executor of this machine, with a real network."""

import os
from mmap import mmap
from pathlib import Path

import pytest

from nexus.backend.device_name import parse_device
from nexus.core.errors import InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.core.tensor import DataType, TensorSpec
from nexus.profiler import memory_meter
from nexus.profiler.measure import profile_model
from nexus.profiler.memory_meter import ProcessMemory
from nexus.profiler.profiled_device import engine_condition, open_device
from nexus.profiler.progression import LARGEST
from nexus.profiler.settings import ProfilerSettings
from nexus.profiler.text_format import format_profile, parse_profile

MLP = Model(
    name="mlp",
    engine=EngineKind.TORCH,
    network="mlp",
    inputs=(TensorSpec("x", DataType.FP32, (-1, 64)),),
    outputs=(TensorSpec("y", DataType.FP32, (-1, 4)),),
    parameters={"inputs": "64", "hidden": "256", "outputs": "4"},
    max_batch=4,
)
WEIGHTS_BYTES = 4 * (64 * 256 + 256 + 256 * 4 + 4)
QUICK = ProfilerSettings(repeats_floor=2, repeats_min=2, repeats_max=5, item_repeats=3)
MEGABYTE = 1_000_000


def test_profiler_measures_a_torch_model_on_this_cpu() -> None:
    device = open_device(parse_device("cpu"), threads=1)
    try:
        measurement = profile_model(MLP, device, settings=QUICK)
    finally:
        device.executor.close()
    assert [row.batch for row in measurement.rows] == [1, 2, 3, 4]
    assert measurement.ended == LARGEST
    assert measurement.device == "cpu"
    assert measurement.hardware.endswith(f"{os.cpu_count()} cores")
    assert set(measurement.conditions) == {"threads", "torch"}
    assert measurement.rows[0].memory_bytes >= WEIGHTS_BYTES
    assert measurement.load_us > 0
    assert measurement.preprocess.repeats == 3
    assert parse_profile(format_profile(measurement), "again") == measurement


def test_profiler_has_nothing_to_measure_on_an_emulated_device() -> None:
    with pytest.raises(InvalidArgumentError, match="emulated:v100 has nothing to measure"):
        open_device(parse_device("emulated:v100"))


def test_engine_condition_names_the_package_that_runs_the_model() -> None:
    assert set(engine_condition(EngineKind.ONNX)) == {"onnxruntime"}
    assert engine_condition(EngineKind.EMULATED) == {}


@pytest.mark.skipif(
    not ProcessMemory().resets_peak, reason="this kernel does not let a process reset its peak"
)
def test_process_memory_sees_what_is_held_for_a_moment() -> None:
    meter = ProcessMemory()
    meter.start()
    before = meter.peak_bytes()
    # Mapped for itself: an allocator may have as much left from what ran before in this process.
    with mmap(-1, 50 * MEGABYTE) as held:
        for at in range(0, 50 * MEGABYTE, 4096):
            held[at] = 1
    assert meter.peak_bytes() - before > 40 * MEGABYTE
    meter.start()
    assert meter.peak_bytes() < 40 * MEGABYTE


def test_process_memory_never_says_less_than_nothing_where_a_peak_is_not_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status = tmp_path / "status"
    status.write_text("VmRSS:\t1000 kB\n", encoding="ascii")
    monkeypatch.setattr(memory_meter, "_STATUS", status)
    meter = ProcessMemory()
    assert not meter.resets_peak
    assert meter.peak_bytes() == 0
