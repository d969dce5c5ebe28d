"""l(b) by the model: a profile that the scheduler can plan with, capped where the SLO ends it."""

import pytest

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.model.gpu import KNOWN
from nexus.backend.kernels.model.latency_profile import (
    capped,
    cpu_latency_us,
    gpu_latency_us,
    predicted_profile,
)
from nexus.backend.kernels.model.workload import Workload
from nexus.core.errors import InfeasibleError, InvalidArgumentError
from nexus.core.profile import Profile
from tests.kernels.model_machines import LAPTOP

WORKLOAD = Workload(StackShape(Cell.LSTM, 80, 256, 2), 1, 50)


def on_cpu(workload: Workload) -> float:
    return cpu_latency_us(workload, LAPTOP)


def test_profile_of_a_cpu_grows_with_the_batch() -> None:
    profile = predicted_profile("asr", "cpu", WORKLOAD, on_cpu, batches=range(1, 17))
    assert profile.max_batch == 16
    assert list(profile.latencies_us) == sorted(profile.latencies_us)
    assert profile.latency_us(16) < 16 * profile.latency_us(1)
    weights = 4 * (4 * 256 * (80 + 256) + 4 * 256 * (256 + 256))
    assert profile.memory_bytes > weights


def test_profile_takes_the_next_predicted_batch_for_one_between() -> None:
    asked: list[int] = []

    def latency_us(workload: Workload) -> float:
        asked.append(workload.batch)
        return 10.2 * workload.batch

    profile = predicted_profile("m", "h100", WORKLOAD, latency_us, batches=(4, 1, 2, 4))
    assert asked == [1, 2, 4]
    assert profile.latencies_us == (11, 21, 41, 41)


def test_profile_of_a_gpu_is_nearly_flat_while_batches_are_small() -> None:
    workload = Workload(StackShape(Cell.LSTM, 512, 512), 1, 50, Precision.BF16)

    def on_gpu(one: Workload) -> float:
        return gpu_latency_us(one, KNOWN["h100"])

    profile = predicted_profile("lm", "h100", workload, on_gpu, batches=(1, 8))
    assert profile.latency_us(8) < 2 * profile.latency_us(1)


@pytest.mark.parametrize("batches", [(), (0, 1), (1, 1025)])
def test_profile_refuses_batches_that_no_profile_has(batches: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="batches"):
        predicted_profile("m", "cpu", WORKLOAD, on_cpu, batches=batches)


def test_capped_ends_where_waiting_and_running_break_the_slo() -> None:
    profile = Profile(model="m", device="d", latencies_us=(10, 20, 15, 40), memory_bytes=7)
    assert capped(profile, 80).max_batch == 4
    assert capped(profile, 79).latencies_us == (10, 20, 15)
    assert capped(profile, 20).latencies_us == (10,)
    assert capped(profile, 20).memory_bytes == 7


def test_capped_to_nothing_says_why() -> None:
    profile = Profile(model="m", device="d", latencies_us=(10,))
    with pytest.raises(InfeasibleError, match="10 us for one item"):
        capped(profile, 19)
