"""Cellular batching against padded static batches: sequences of random lengths, arriving at random.

    cellular    the product: engine, driver and slots; joins and leaves between chunks
    padded      the same kernels: whatever waits, at most as many as there are slots, padded to the
                longest and answered when it ends; the device never waits for a batch to fill
    ragged      the same, but the kernel is told the lengths, and computes no padding
    alone       the same kernels, one sequence after the other
    torch       padded, by torch.nn

All serve the same arrivals in one process and take turns, seed by seed; ratios are made within a
seed, and their median is reported. Then what a chunk costs while sequences join and leave, against
one of a company that stays, chunk by chunk in turns.

One thread does all the work, and time is the CPU time that it took, plus what is skipped while
nothing is there to do: what else the machine does takes nothing from anybody.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.cellular.build_slots import build_slots
from nexus.backend.kernels.cellular.chunk_cost import OVERHEAD_SHARE, ChunkCost, chunk_cost
from nexus.backend.kernels.cellular.driver import CellularDriver, Over, Progress
from nexus.backend.kernels.cellular.engine import CellularEngine
from nexus.backend.kernels.cellular.events import EndReason
from nexus.backend.kernels.cellular.limits import Limits
from nexus.backend.kernels.cellular.measure import measure_cost
from nexus.backend.kernels.cellular.slot_runner import Integers, SlotRunner
from nexus.backend.kernels.choose_runner import build_runner
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.weights import Floats, StackWeights, from_torch
from nexus.core.units import US_PER_S

SEQUENCES = 64
STEPS_MIN, STEPS_MAX = 1, 200
LOAD = 1.5
"""Arrivals, in what the slots serve at most: the queue grows while they come."""
TOLERANCE = 1e-4
PRICE_STEPS = 4
"""Of a chunk whose price is measured: few, so that most have all their rows to their ends."""


@dataclass(frozen=True)
class Arrival:
    """A sequence ``x`` [steps, input], and when it comes."""

    at_us: int
    x: Floats


@dataclass(frozen=True)
class Served:
    """The mean latency, when the last was served, and what each sequence got."""

    mean_us: float
    makespan_us: int
    outputs: list[Floats]


class WorkClock:
    """The CPU time of this thread since the clock was made, and what was skipped."""

    def __init__(self) -> None:
        """Start at 0."""
        self._zero_ns = time.thread_time_ns()

    def now_us(self) -> int:
        """The present."""
        return (time.thread_time_ns() - self._zero_ns) // 1_000

    def skip_to(self, at_us: int) -> None:
        """Nothing happens until then."""
        self._zero_ns -= max(0, at_us - self.now_us()) * 1_000


Serve = Callable[[Sequence[Arrival]], Served]
RunBatch = Callable[[Floats, Sequence[int]], Floats]
"""[steps, rows, input] and lengths to [steps, rows, hidden]."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print ratios to padded batches for each size, and the price of joins and leaves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--slots", type=int, nargs="+", default=[12])
    parser.add_argument("--seeds", type=int, default=9)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for hidden in given.hidden:
        torch.manual_seed(hidden)
        layer = torch.nn.LSTM(hidden, hidden).eval()
        for slots in given.slots:
            bench = Bench(layer, StackShape(Cell.LSTM, hidden, hidden), slots)
            print(f"lstm {hidden}, {slots} slots, {bench.slots.name}")
            compare(bench, given.seeds)
            price(bench, given.seeds)


class Bench:
    """One stack, and every way to serve it."""

    def __init__(self, layer: torch.nn.LSTM, shape: StackShape, slots: int) -> None:
        """Pack the weights of ``layer`` once for each way."""
        self.shape = shape
        self.weights: StackWeights = from_torch(layer)
        self.slots: SlotRunner = build_slots(self.weights, slots, threads=1)
        self.cost: ChunkCost = measure_cost(self.slots, time.thread_time_ns)
        runner = build_runner(self.weights, threads=1)

        def torchs(x: Floats, _lengths: Sequence[int]) -> Floats:
            with torch.inference_mode():
                y: Floats = layer(torch.from_numpy(x))[0].numpy()
            return y

        self.ways: dict[str, Serve] = {
            "cellular": self.cellular,
            "padded": lambda arrivals: static(arrivals, slots, lambda x, _: runner.run(x).y),
            "ragged": lambda arrivals: static(arrivals, slots, lambda x, n: runner.run(x, n).y),
            "alone": lambda arrivals: static(arrivals, 1, lambda x, _: runner.run(x).y),
            "torch": lambda arrivals: static(arrivals, slots, torchs),
        }

    def cellular(self, arrivals: Sequence[Arrival]) -> Served:
        """Joins as they come, chunk by chunk."""
        clock = WorkClock()
        engine = CellularEngine(Limits(self.slots.slots), self.cost)
        driver = CellularDriver(engine, self.slots, clock)
        pieces: list[list[Floats]] = [[] for _ in arrivals]
        ends_us = [0] * len(arrivals)
        came = over = 0
        while over < len(arrivals):
            while came < len(arrivals) and arrivals[came].at_us <= clock.now_us():
                driver.join(came, arrivals[came].x)
                came += 1
            if not driver.busy:
                clock.skip_to(arrivals[came].at_us)
                continue
            driver.run_chunk()
            for report in driver.take():
                key = report.key
                assert isinstance(key, int)
                if isinstance(report, Progress):
                    pieces[key].append(report.y)
                elif isinstance(report, Over):
                    assert report.reason is EndReason.FINISHED
                    ends_us[key] = clock.now_us()
                    over += 1
        return served(arrivals, ends_us, [np.concatenate(parts) for parts in pieces])


def static(arrivals: Sequence[Arrival], batch_max: int, run: RunBatch) -> Served:
    """Batches of whatever waits, first come first served."""
    clock = WorkClock()
    ends_us: list[int] = []
    outputs: list[Floats] = []
    while len(ends_us) < len(arrivals):
        first = len(ends_us)
        clock.skip_to(arrivals[first].at_us)
        now_us = clock.now_us()
        batch = [one.x for one in arrivals[first : first + batch_max] if one.at_us <= now_us]
        lengths = [len(x) for x in batch]
        together = np.zeros((max(lengths), len(batch), batch[0].shape[1]), np.float32)
        for index, x in enumerate(batch):
            together[: len(x), index] = x
        y = run(together, lengths)
        ends_us += [clock.now_us()] * len(batch)
        outputs += [y[:length, index] for index, length in enumerate(lengths)]
    return served(arrivals, ends_us, outputs)


def served(arrivals: Sequence[Arrival], ends_us: Sequence[int], outputs: list[Floats]) -> Served:
    """What became of sequences that ended then."""
    latencies_us = [end_us - one.at_us for one, end_us in zip(arrivals, ends_us, strict=True)]
    return Served(statistics.mean(latencies_us), max(ends_us), outputs)


def random_arrivals(shape: StackShape, cost: ChunkCost, slots: int, seed: int) -> list[Arrival]:
    """Poisson arrivals of uniform lengths."""
    chance = np.random.default_rng(seed)
    inputs = [random_input(shape, chance) for _ in range(SEQUENCES)]
    work_us = sum(len(x) for x in inputs) * cost.paced_us[slots] / slots
    times_us = np.cumsum(chance.exponential(work_us / SEQUENCES / LOAD, SEQUENCES))
    return [Arrival(int(at_us), x) for at_us, x in zip(times_us, inputs, strict=True)]


def random_input(shape: StackShape, chance: np.random.Generator) -> Floats:
    """A sequence of random length."""
    steps = int(chance.integers(STEPS_MIN, STEPS_MAX + 1))
    return chance.standard_normal((steps, shape.input_size)).astype(np.float32)


def compare(bench: Bench, seeds: int) -> None:
    """Every way serves the arrivals of every seed."""
    latency: dict[str, list[float]] = {way: [] for way in bench.ways}
    throughput: dict[str, list[float]] = {way: [] for way in bench.ways}
    for seed in range(-1, seeds):  # The first is to warm up.
        arrivals = random_arrivals(bench.shape, bench.cost, bench.slots.slots, abs(seed))
        results = {way: serve(arrivals) for way, serve in bench.ways.items()}
        check(results)
        padded = results["padded"]
        for way, result in results.items():
            if seed >= 0:
                latency[way].append(result.mean_us / padded.mean_us)
                throughput[way].append(padded.makespan_us / result.makespan_us)
    for way in bench.ways:
        print(
            f"  {way:9} mean latency {spread(latency[way])} of padded, "
            f"throughput {spread(throughput[way])}"
        )


def check(results: dict[str, Served]) -> None:
    """Every way gives every sequence the same."""
    for result in results.values():
        for y, wanted in zip(result.outputs, results["padded"].outputs, strict=True):
            assert y.shape == wanted.shape
            assert np.abs(y - wanted).max() < TOLERANCE


def price(bench: Bench, rounds: int) -> None:
    """A chunk while sequences join and leave, against the same chunk of those that stay."""
    kernel, whole = [], []
    for seed in range(rounds):
        staying, changing = Company(bench, seed), Company(bench, seed)
        for _ in range(bench.slots.slots):
            staying.join(endless=True)
        for _ in range(4 * SEQUENCES):
            changing.join(endless=False)
        while changing.driver.busy:
            changing.run()
            staying.run()
        kernel.append(changing.kernel_us() / staying.kernel_us())
        whole.append(changing.whole_us() / staying.whole_us())
    print(f"  under joins and leaves a step takes {spread(kernel)} of one without")
    print(f"  with all that is done between chunks of {PRICE_STEPS} steps, {spread(whole)}")


class Company:
    """Sequences in slots of their own; the times of the chunks in which every slot was used."""

    def __init__(self, bench: Bench, seed: int) -> None:
        """Start with nobody."""
        slots = bench.slots.slots
        self._shape = bench.shape
        self._chance = np.random.default_rng(seed)
        self._runner = TimedSlots(build_slots(bench.weights, slots, threads=1))
        believed = chunk_cost({slots: (OVERHEAD_SHARE * PRICE_STEPS * 0.999, 1.0)})
        limits = Limits(slots, join_wait_us=US_PER_S)
        self.driver = CellularDriver(CellularEngine(limits, believed), self._runner, WorkClock())
        self._joined = 0
        self._times_us: list[tuple[float, float]] = []

    def join(self, *, endless: bool) -> None:
        """One more sequence."""
        x = random_input(self._shape, self._chance)
        self.driver.join(self._joined, np.tile(x, (10 * STEPS_MAX, 1))[:50_000] if endless else x)
        self._joined += 1

    def run(self) -> None:
        """One chunk."""
        before_ns = time.thread_time_ns()
        self.driver.run_chunk()
        whole_us = (time.thread_time_ns() - before_ns) / 1_000
        lengths = [len(report.y) for report in self.driver.take() if isinstance(report, Progress)]
        if lengths == [PRICE_STEPS] * self._runner.slots:
            self._times_us.append((self._runner.took_us, whole_us))

    def kernel_us(self) -> float:
        """What the kernel takes for a chunk, typically."""
        return statistics.median(kernel_us for kernel_us, _ in self._times_us)

    def whole_us(self) -> float:
        """What a chunk takes with everything around it: a mean, as not every chunk has joins."""
        return statistics.mean(whole_us for _, whole_us in self._times_us)


class TimedSlots:
    """A slot runner that notes what the last advance took."""

    def __init__(self, inner: SlotRunner) -> None:
        """Nothing has been timed."""
        self.took_us = 0.0
        self.name, self.shape, self.slots = inner.name, inner.shape, inner.slots
        self.reset, self.state = inner.reset, inner.state
        self._inner = inner

    def advance(self, slots: Integers, x: Floats, lengths: Integers) -> Floats:
        """See `SlotRunner.advance`."""
        before_ns = time.thread_time_ns()
        y = self._inner.advance(slots, x, lengths)
        self.took_us = (time.thread_time_ns() - before_ns) / 1_000
        return y


def spread(ratios: Sequence[float]) -> str:
    """The median, and the range."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


if __name__ == "__main__":
    main()
