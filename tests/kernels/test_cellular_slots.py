"""Slot runners against the oracle, for sequences that join and leave at random."""

from collections import defaultdict
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from nexus.backend.kernels import oracle
from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.cellular.build_slots import build_slots
from nexus.backend.kernels.cellular.driver import CellularDriver, FeedLost, Over, Progress
from nexus.backend.kernels.cellular.engine import CellularEngine
from nexus.backend.kernels.cellular.events import EndReason
from nexus.backend.kernels.cellular.gathered_slots import GatheredSlots
from nexus.backend.kernels.cellular.limits import Limits
from nexus.backend.kernels.cellular.slot_runner import SlotRunner, SlotState
from nexus.backend.kernels.layer_shape import StackShape
from nexus.backend.kernels.onnx_runner import OnnxRunner
from nexus.backend.kernels.weights import Floats, StackWeights, random_weights
from nexus.core.clock import VirtualClock
from nexus.core.errors import InvalidArgumentError
from tests.kernels.cellular_world import linear_cost

TOLERANCE = 1e-5
EXTENSION = find_spec("nexus_cpu_kernels") is not None

Make = Callable[[StackWeights, int], SlotRunner]


def gathered(weights: StackWeights, slots: int) -> SlotRunner:
    return GatheredSlots(OnnxRunner(weights, threads=1), slots)


def inside(weights: StackWeights, slots: int) -> SlotRunner:
    return build_slots(weights, slots, threads=1)


MAKES = [
    gathered,
    pytest.param(
        inside, marks=pytest.mark.skipif(not EXTENSION, reason="the CPU kernels are not installed")
    ),
]
SHAPES = [
    StackShape(Cell.LSTM, 5, 17),
    StackShape(Cell.LSTM, 8, 32, layers=2),
    StackShape(Cell.GRU, 3, 20, layers=2),
    StackShape(Cell.GRU_RESET_BEFORE, 4, 9),
]


def driver(runner: SlotRunner, **limits: int) -> CellularDriver:
    engine = CellularEngine(Limits(runner.slots, **limits), linear_cost(runner.slots))
    return CellularDriver(engine, runner, VirtualClock())


def normal(chance: np.random.Generator, *size: int) -> Floats:
    return chance.standard_normal(size).astype(np.float32)


def state_of(shape: StackShape, chance: np.random.Generator) -> SlotState:
    size = (shape.layers, shape.hidden_size)
    return SlotState(
        normal(chance, *size), normal(chance, *size) if shape.cell.has_cell_state else None
    )


def expected(weights: StackWeights, x: Floats, state: SlotState | None) -> oracle.Sequences:
    h0, c0 = (
        None if part is None else torch.from_numpy(part[:, None]).double()
        for part in (state or (None, None))
    )
    return oracle.run(weights, torch.from_numpy(x[:, None]).double(), None, h0, c0)


def check_against_oracle(
    weights: StackWeights, x: Floats, state: SlotState | None, pieces: list[Progress], over: Over
) -> None:
    wanted = expected(weights, x, state)
    assert [piece.start for piece in pieces] == list(
        np.cumsum([0, *(len(piece.y) for piece in pieces[:-1])])
    )
    y = np.concatenate([piece.y for piece in pieces])
    assert y.shape == (len(x), weights.shape.hidden_size)
    assert np.abs(y - wanted.y[:, 0].numpy()).max() < TOLERANCE
    assert over.state is not None
    assert np.abs(over.state.h - wanted.h_n[:, 0].numpy()).max() < TOLERANCE
    if wanted.c_n is not None:
        assert over.state.c is not None
        assert np.abs(over.state.c - wanted.c_n[:, 0].numpy()).max() < TOLERANCE


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sequences_that_join_and_leave_equal_the_oracle(make: Make, shape: StackShape) -> None:
    chance = np.random.default_rng(3)
    weights = random_weights(shape, chance)
    d = driver(make(weights, 4))
    inputs: dict[int, tuple[Floats, SlotState | None]] = {}
    for key in range(40):
        x = normal(chance, int(chance.integers(1, 40)), shape.input_size)
        state = state_of(shape, chance) if key % 3 == 0 else None
        inputs[key] = x, state
        d.join(key, x, state=state)
        for _ in range(int(chance.integers(0, 3))):
            if d.busy:
                d.run_chunk()
    while d.busy:
        d.run_chunk()
    pieces, overs = sorted_reports(d)
    assert {over.reason for over in overs.values()} == {EndReason.FINISHED}
    for key, (x, state) in inputs.items():
        check_against_oracle(weights, x, state, pieces[key], overs[key])


@pytest.mark.parametrize("make", MAKES)
def test_streams_that_are_parked_and_come_back_equal_the_oracle(make: Make) -> None:
    chance = np.random.default_rng(5)
    shape = StackShape(Cell.LSTM, 4, 16, layers=2)
    weights = random_weights(shape, chance)
    d = driver(make(weights, 2))
    streams = {key: normal(chance, 30, 4) for key in range(5)}
    fed = dict.fromkeys(streams, 0)
    for key in streams:
        d.open(key)
    while any(fed[key] < len(x) for key, x in streams.items()):
        key = int(chance.integers(len(streams)))
        steps = int(chance.integers(1, 6))
        if fed[key] < len(streams[key]):
            d.feed(key, streams[key][fed[key] : fed[key] + steps])
            fed[key] += steps
        if d.busy and chance.random() < 0.7:
            d.run_chunk()
    while d.busy:
        d.run_chunk()
    for key in streams:
        d.leave(key)
    pieces, overs = sorted_reports(d)
    for key, x in streams.items():
        check_against_oracle(weights, x, None, pieces[key], overs[key])


def sorted_reports(d: CellularDriver) -> tuple[dict[int, list[Progress]], dict[int, Over]]:
    pieces: dict[int, list[Progress]] = defaultdict(list)
    overs: dict[int, Over] = {}
    for report in d.take():
        assert isinstance(report.key, int)
        if isinstance(report, Progress):
            pieces[report.key].append(report)
        elif isinstance(report, Over):
            assert report.key not in overs
            overs[report.key] = report
    return pieces, overs


@pytest.mark.parametrize("make", MAKES)
def test_slot_runner_leaves_the_slots_alone_that_are_not_advanced(make: Make) -> None:
    chance = np.random.default_rng(7)
    shape = StackShape(Cell.LSTM, 3, 8)
    runner = make(random_weights(shape, chance), 3)
    states = [state_of(shape, chance) for _ in range(3)]
    for slot, state in enumerate(states):
        runner.reset(slot, state)
    runner.advance(np.array([2, 0], np.int32), normal(chance, 4, 2, 3), np.array([4, 0], np.int32))
    for slot in (0, 1):
        kept = runner.state(slot)
        assert np.array_equal(kept.h, states[slot].h)
        assert kept.c is not None
        assert states[slot].c is not None
        assert np.array_equal(kept.c, states[slot].c)  # type: ignore[arg-type]  # just asserted
    assert not np.array_equal(runner.state(2).h, states[2].h)
    runner.reset(1)
    assert not runner.state(1).h.any()


@pytest.mark.parametrize("make", MAKES)
def test_slot_runner_refuses_what_does_not_fit(make: Make) -> None:
    chance = np.random.default_rng(1)
    both = random_weights(StackShape(Cell.GRU, 3, 8, bidirectional=True), chance)
    with pytest.raises(InvalidArgumentError, match="bidirectional"):
        make(both, 2)
    weights = random_weights(StackShape(Cell.GRU, 3, 8), chance)
    with pytest.raises(InvalidArgumentError, match="0 slots"):
        make(weights, 0)
    runner = make(weights, 2)
    h = np.zeros((1, 8), np.float32)
    with pytest.raises(InvalidArgumentError, match="has no second part"):
        runner.reset(0, SlotState(h, h))
    with pytest.raises(InvalidArgumentError, match=r"h \[1, 1, 7\]"):
        runner.reset(0, SlotState(h[:, :7], None))


def test_driver_refuses_input_of_another_width_and_goes_on() -> None:
    chance = np.random.default_rng(1)
    d = driver(gathered(random_weights(StackShape(Cell.GRU, 3, 8), chance), 2))
    with pytest.raises(InvalidArgumentError, match=r"float32\[2, 4\], must be float32\[steps, 3\]"):
        d.join("a", normal(chance, 2, 4))
    d.join("a", normal(chance, 2, 3))
    d.run_chunk()
    assert [type(report) for report in d.take()] == [Progress, Over]


def test_driver_runs_a_chunk_without_whom_was_cancelled_meanwhile() -> None:
    chance = np.random.default_rng(1)
    weights = random_weights(StackShape(Cell.GRU, 3, 8), chance)
    d = driver(gathered(weights, 2))
    x = normal(chance, 4, 3)
    d.join("opens", x[:1])
    d.join("stays", x)
    d.join("goes", x)
    d.run_chunk()
    d.cancel("goes")
    d.run_chunk()
    pieces = {report.key: report for report in d.take() if isinstance(report, Progress)}
    assert set(pieces) == {"opens", "stays"}
    wanted = expected(weights, x, None).y[:, 0].numpy()
    assert np.abs(pieces["stays"].y - wanted).max() < TOLERANCE


def test_driver_reports_a_chunk_that_failed_and_goes_on() -> None:
    class Broken(GatheredSlots):
        fails = True

        def advance(self, *arguments: object) -> Floats:
            if self.fails:
                raise ZeroDivisionError
            return super().advance(*arguments)  # type: ignore[arg-type]  # passed on as they came

    chance = np.random.default_rng(1)
    weights = random_weights(StackShape(Cell.GRU, 3, 8), chance)
    runner = Broken(OnnxRunner(weights, threads=1), 2)
    d = driver(runner)
    d.join("a", normal(chance, 2, 3))
    d.run_chunk()
    assert d.take() == [Over("a", EndReason.ERROR, "ZeroDivisionError: ", None)]
    runner.fails = False
    d.join("b", normal(chance, 2, 3))
    d.run_chunk()
    assert [type(report) for report in d.take()] == [Progress, Over]


def test_driver_says_which_steps_were_not_taken_and_goes_on_without_them() -> None:
    chance = np.random.default_rng(1)
    weights = random_weights(StackShape(Cell.GRU, 3, 8), chance)
    d = driver(gathered(weights, 2), ready_steps=4)
    x = normal(chance, 8, 3)
    d.open("a")
    d.feed("a", x[:3])
    d.feed("a", normal(chance, 2, 3))
    assert d.take() == [FeedLost("a", 2)]
    d.run_chunk()
    d.feed("a", x[3:6])
    d.run_chunk()
    d.leave("a")
    d.feed("a", x[6:])
    pieces = [report for report in d.take() if isinstance(report, Progress)]
    y = np.concatenate([piece.y for piece in pieces])
    assert np.abs(y - expected(weights, x[:6], None).y[:, 0].numpy()).max() < TOLERANCE


def test_driver_hands_back_the_state_of_a_stream_that_was_parked_and_fell_silent() -> None:
    chance = np.random.default_rng(1)
    weights = random_weights(StackShape(Cell.LSTM, 3, 8), chance)
    clock = VirtualClock()
    engine = CellularEngine(Limits(1, idle_us=1_000), linear_cost())
    d = CellularDriver(engine, gathered(weights, 1), clock)
    x = normal(chance, 5, 3)
    d.open("silent")
    d.feed("silent", x)
    d.run_chunk()
    d.join("other", normal(chance, 2, 3))
    d.run_chunk()
    clock.advance_to(1_000)
    d.tick()
    over = [report for report in d.take() if isinstance(report, Over)][-1]
    assert over.reason is EndReason.IDLE
    assert over.state is not None
    assert np.abs(over.state.h - expected(weights, x, None).h_n[:, 0].numpy()).max() < TOLERANCE
