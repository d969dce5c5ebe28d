"""Devices that run one batch at a time, or share their speed between several."""

import random

import pytest

from nexus.core.profile import linear_profile
from nexus.simulator.baselines.policy import Start
from nexus.simulator.baselines.shared_devices import SharedDevice
from nexus.simulator.ledger import LedgerError
from nexus.simulator.world import World
from tests.baselines.baseline_cases import item

PROFILE = linear_profile("m", "gpu", 0, 1_000, 8)


class Bench:
    """One device and when its batches ended."""

    def __init__(self, *, exclusive: bool, jitter: float = 0.0) -> None:
        self.world = World()
        self.ends: list[tuple[int, int]] = []
        self.device = SharedDevice(
            self.world, self._ended, exclusive=exclusive, jitter=jitter, rng=random.Random(1)
        )

    def start_at(self, when_us: int, line: int, latency_us: int) -> Start:
        start = Start(0, line, (item(0, line),), latency_us)
        self.world.at(when_us, self.device.start, start, PROFILE)
        return start

    def _ended(self, start: Start) -> None:
        self.ends.append((start.line, self.world.now_us))


def test_shared_devices_alone_a_batch_takes_its_time() -> None:
    bench = Bench(exclusive=True)
    bench.start_at(100, 0, 1_000)
    bench.world.run_until(5_000)
    assert bench.ends == [(0, 1_100)]
    assert bench.device.busy_us_by_second(0, 5_000) == (1_000,)


def test_shared_devices_two_batches_run_at_half_speed() -> None:
    bench = Bench(exclusive=False)
    bench.start_at(0, 0, 1_000)
    bench.start_at(500, 1, 1_000)
    bench.world.run_until(5_000)
    # Batch 0 has 500 us left at 500 us, which take 1,000 us; batch 1 has the rest for itself.
    assert bench.ends == [(0, 1_500), (1, 2_000)]
    assert sum(bench.device.busy_us_by_second(0, 5_000)) == 2_000


def test_shared_devices_exclusive_refuses_a_second_batch() -> None:
    bench = Bench(exclusive=True)
    bench.start_at(0, 0, 1_000)
    bench.start_at(500, 1, 1_000)
    with pytest.raises(LedgerError, match="while it ran another"):
        bench.world.run_until(5_000)


def test_shared_devices_a_stopped_batch_never_ends_but_occupies() -> None:
    bench = Bench(exclusive=True)
    start = bench.start_at(0, 0, 1_000)
    bench.world.at(300, bench.device.stop, start, 400)
    bench.start_at(350, 1, 1_000)
    with pytest.raises(LedgerError):
        bench.world.run_until(5_000)
    assert bench.ends == []
    assert sum(bench.device.busy_us_by_second(0, 5_000)) == 400


def test_shared_devices_count_busy_time_by_second() -> None:
    bench = Bench(exclusive=True)
    bench.start_at(900_000, 0, 200_000)
    bench.world.run_until(3_000_000)
    assert bench.device.busy_us_by_second(0, 2_000_000) == (100_000, 100_000)


def test_shared_devices_jitter_varies_a_batch() -> None:
    bench = Bench(exclusive=True, jitter=0.1)
    bench.start_at(0, 0, 1_000)
    bench.world.run_until(5_000)
    assert bench.ends[0][1] != 1_000
