"""The profiler on a device whose every latency is known, in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from nexus.backend.network import NetworkModel
from nexus.core.clock import VirtualClock
from nexus.core.errors import FailedPreconditionError, InternalError, InvalidArgumentError
from nexus.core.finding import Region
from nexus.core.model import EngineKind, Model
from nexus.core.request import ItemResult
from nexus.core.tensor import DataType, Tensor, TensorSpec
from nexus.profiler.measure import profile_model
from nexus.profiler.measurement import Measurement
from nexus.profiler.profiled_device import ProfiledDevice
from nexus.profiler.progress import Progress, ignore_progress
from nexus.profiler.progression import LARGEST, LEVELLED_OFF, OUT_OF_MEMORY, TOO_SLOW
from nexus.profiler.published import read_nexus_text
from nexus.profiler.settings import ProfilerSettings
from nexus.zoo.handler import Array, Handler, Sample, stack
from nexus.zoo.tensor_handler import TensorHandler

VGG16 = Path(__file__).parents[2] / "profiler/profiles/published/nexus-titan-x-pascal/vgg16.txt"
MODEL = Model(
    name="m",
    engine=EngineKind.EMULATED,
    inputs=(TensorSpec("x", DataType.FP32, (-1, 4)),),
    max_batch=12,
)
LOAD_US = 5_000_000
PREPROCESS_US = 300
POSTPROCESS_US = 40
COLLATE_US = 10


@dataclass
class Device:
    """An executor with its network and handler: each step takes its time on ``clock``."""

    latency_us: Callable[[int], int]
    clock: VirtualClock = field(default_factory=VirtualClock)
    memory_bytes: int = 1_000
    largest_run: int = 0
    runs: list[int] = field(default_factory=list)
    closed: bool = False
    handler: Handler | None = None

    def load_now(self, model: Model) -> NetworkModel:
        assert model.name == MODEL.name
        self._spend(LOAD_US)
        return NetworkModel(self, self.handler or self)

    def preprocess(
        self, tensors: tuple[Tensor, ...], regions: tuple[Region, ...]
    ) -> tuple[Sample, ...]:
        assert regions == ()
        self._spend(PREPROCESS_US)
        return tuple(Sample((np.zeros(4, np.float32),)) for _ in range(tensors[0].shape[0]))

    def collate(self, samples: tuple[Sample, ...]) -> tuple[Array, ...]:
        self._spend(COLLATE_US)
        return stack(samples)

    def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        batch = len(inputs[0])
        self.runs.append(batch)
        self.largest_run = max(self.largest_run, batch)
        self._spend(self.latency_us(batch) - COLLATE_US)
        return inputs

    def postprocess(
        self, outputs: tuple[Array, ...], samples: tuple[Sample, ...]
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        assert len(outputs[0]) == len(samples) == 1
        self._spend(POSTPROCESS_US)
        return (), ()

    def close(self) -> None:
        self.closed = True

    def start(self) -> None:
        self.largest_run = 0

    def peak_bytes(self) -> int:
        return 10 * self.largest_run

    def _spend(self, duration_us: int) -> None:
        self.clock.advance_to(self.clock.now_us() + duration_us)


def measure(
    device: Device,
    model: Model = MODEL,
    settings: ProfilerSettings | None = None,
    on_progress: Callable[[Progress], None] = ignore_progress,
    tensors: tuple[Tensor, ...] = (),
) -> Measurement:
    return profile_model(
        model,
        ProfiledDevice(
            type="v100",
            executor=device,
            meter=device,
            hardware="a card",
            conditions={"threads": "2"},
        ),
        settings=settings,
        on_progress=on_progress,
        tensors=tensors,
        clock=device.clock,
    )


def test_profiler_measures_what_the_device_takes() -> None:
    device = Device(lambda batch: 1_000 * batch + 9_000)
    measurement = measure(device)
    assert [row.batch for row in measurement.rows] == list(range(1, 13))
    assert measurement.profile().latencies_us == tuple(1_000 * b + 9_000 for b in range(1, 13))
    assert measurement.ended == LARGEST
    assert measurement.load_us == LOAD_US
    assert (measurement.device, measurement.hardware) == ("v100", "a card")
    assert measurement.conditions == {"threads": "2"}
    assert measurement.preprocess.p95_us == PREPROCESS_US
    assert measurement.postprocess.p50_us == POSTPROCESS_US
    assert measurement.rows[3].memory_bytes == 1_040
    assert measurement.profile().memory_bytes == 1_120
    assert device.closed


def test_profiler_finds_the_published_profile_again() -> None:
    published = read_nexus_text(VGG16).profile()
    measurement = measure(Device(published.latency_us))
    assert measurement.profile().latencies_us == published.latencies_us[:12]


def test_profiler_warms_up_before_it_counts() -> None:
    device = Device(lambda _: 5_000)
    first_runs: set[int] = set()

    def slow_at_first(batch: int) -> int:
        slow = batch not in first_runs
        first_runs.add(batch)
        return 50_000 if slow else 5_000

    device.latency_us = slow_at_first
    assert {row.p99_us for row in measure(device).rows} == {5_000}


def test_profiler_plans_for_the_p95_of_noisy_runs() -> None:
    device = Device(lambda _: 10_000 + 1_000 * (len(device.runs) % 10))
    settings = ProfilerSettings(repeats_min=100, max_batch=1)
    (row,) = measure(device, settings=settings).rows
    assert (row.p50_us, row.p95_us) == (14_000, 19_000)
    assert row.repeats == 100


def test_profiler_repeats_less_when_runs_agree() -> None:
    steady = Device(lambda _: 10_000)
    noisy = Device(lambda _: 10_000 + 5_000 * (len(noisy.runs) % 3))
    settings = ProfilerSettings(repeats_min=20, repeats_max=60, max_batch=1)
    assert measure(steady, settings=settings).rows[0].repeats == 20
    assert measure(noisy, settings=settings).rows[0].repeats == 60


def test_profiler_ends_when_throughput_levels_off() -> None:
    measurement = measure(Device(lambda batch: 10_000 * batch))
    assert measurement.ended == LEVELLED_OFF
    assert measurement.profile().max_batch == 1 + ProfilerSettings().flat_batches


def test_profiler_ends_at_the_latency_cap() -> None:
    settings = ProfilerSettings(latency_cap_us=30_000)
    measurement = measure(Device(lambda batch: 20_000 + 2_000 * batch), settings=settings)
    assert measurement.ended == TOO_SLOW
    assert measurement.rows[-1].p95_us == 32_000


def test_profiler_spends_a_bounded_time_on_slow_batches() -> None:
    device = Device(lambda _: 4_000_000)
    settings = ProfilerSettings(batch_time_us=3_000_000, repeats_floor=5)
    (row,) = measure(device, settings=settings).rows
    assert row.repeats == 5
    assert device.runs == [1] * (1 + 5 + 1)  # warmed up once, counted, once more for the outputs


@pytest.mark.parametrize(
    "error", [MemoryError(), InternalError("no memory for a batch of 5", reason="out_of_memory")]
)
def test_profiler_ends_when_memory_does(error: Exception) -> None:
    def until_four(batch: int) -> int:
        if batch > 4:
            raise error
        return 9_000 + 1_000 * batch

    device = Device(until_four)
    measurement = measure(device)
    assert measurement.ended == OUT_OF_MEMORY
    assert measurement.profile().max_batch == 4
    assert device.closed


def test_profiler_keeps_what_it_has_when_a_model_takes_no_larger_batch() -> None:
    def one_only(batch: int) -> int:
        if batch > 1:
            raise ValueError("Got invalid dimensions for input: x\n index: 0 Got: 2 Expected: 1")
        return 9_000

    measurement = measure(Device(one_only))
    assert measurement.profile().max_batch == 1
    assert measurement.ended == (
        "batch 2 failed: ValueError: Got invalid dimensions for input: x "
        "index: 0 Got: 2 Expected: 1"
    )


def test_profiler_of_a_model_that_never_runs_says_so() -> None:
    def never(_batch: int) -> int:
        raise ValueError("no kernel image")

    device = Device(never)
    with pytest.raises(FailedPreconditionError, match="model 'm' does not run at batch 1: Val"):
        measure(device)
    assert device.closed


def test_profiler_passes_on_errors_that_say_what_is_wrong() -> None:
    def not_taken(_batch: int) -> int:
        raise InvalidArgumentError("items of different shapes cannot share a batch")

    device = Device(not_taken)
    with pytest.raises(InvalidArgumentError, match="different shapes"):
        measure(device)
    assert device.closed


def test_profiler_refuses_an_input_that_the_model_does_not_take() -> None:
    declared = replace(MODEL, inputs=(TensorSpec("y", DataType.FP32, (-1, 4)),))
    device = Device(lambda _: 9_000, handler=TensorHandler(declared))
    with pytest.raises(InvalidArgumentError, match=r"takes the inputs \['y'\]"):
        measure(device)
    assert device.closed


def test_profiler_measures_gaps_beyond_the_dense_part() -> None:
    model = Model(name="m", engine=EngineKind.EMULATED, inputs=MODEL.inputs, max_batch=40)
    measurement = measure(Device(lambda batch: 100_000 + batch), model)
    assert [row.batch for row in measurement.rows][15:] == [16, 18, 20, 22, 24, 27, 30, 33, 37, 40]
    assert measurement.has_gaps
    assert measurement.profile().latencies_us == tuple(100_000 + b for b in range(1, 41))


def test_profiler_wants_an_input_of_one_item() -> None:
    tensor = Tensor("x", DataType.FP32, (2, 4), bytes(32))
    device = Device(lambda _: 9_000)
    with pytest.raises(InvalidArgumentError, match="hold 2 items"):
        measure(device, tensors=(tensor,))
    assert device.closed


def test_profiler_measures_again_what_was_disturbed() -> None:
    """Something else takes the machine from the 120th run to the 180th; then it is quiet again."""

    def with_a_burst(batch: int) -> int:
        burst = 120 <= len(device.runs) < 180
        return 9_000 + 1_000 * batch + (50_000 if burst else 0)

    device = Device(with_a_burst)
    quiet = tuple(9_000 + 1_000 * batch for batch in range(1, 13))
    assert measure(device).profile().latencies_us == quiet
    device = Device(with_a_burst)
    as_it_was = measure(device, settings=ProfilerSettings(rechecks_max=0)).profile()
    assert as_it_was.latencies_us != quiet


def test_profiler_goes_on_when_levelling_off_was_a_disturbance() -> None:
    def with_a_burst(batch: int) -> int:
        burst = 4 * 23 <= len(device.runs) < 8 * 23
        return 9_000 + 1_000 * batch + (50_000 if burst else 0)

    device = Device(with_a_burst)
    measurement = measure(device, settings=ProfilerSettings(flat_batches=4))
    assert measurement.ended == LARGEST
    assert measurement.profile().latencies_us == tuple(9_000 + 1_000 * b for b in range(1, 13))


def test_profiler_believes_what_stays_slow() -> None:
    def slow_at_three(batch: int) -> int:
        return 90_000 if batch == 3 else 9_000 + 1_000 * batch

    device = Device(slow_at_three)
    assert measure(device).profile().latency_us(3) == 90_000
    once = 3 + ProfilerSettings().repeats_min
    assert device.runs.count(3) == once * (1 + ProfilerSettings().rechecks_max)


def test_profiler_tells_its_progress() -> None:
    told: list[Progress] = []
    measurement = measure(Device(lambda batch: 9_000 + 1_000 * batch), on_progress=told.append)
    assert [progress.done for progress in told] == list(range(1, 16))
    assert {progress.steps for progress in told} == {15}
    assert [p.what for p in told[:3]] == ["loaded", "preprocessing", "batch 1"]
    assert tuple(p.row for p in told if p.row is not None) == measurement.rows
