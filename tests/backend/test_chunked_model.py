"""A recurrent network by chunks on the real device: the values, who leaves, and the way through."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nexus.backend.chunked_network import STEPS_MAX, ChunkedModel
from nexus.backend.device_executor import DeviceExecutor
from nexus.backend.device_name import parse_device
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.driver import EngineDriver
from nexus.backend.engine import BackendEngine
from nexus.backend.events import Cancelled, PlanChanged
from nexus.backend.executor import Left
from nexus.backend.kernels.cellular.build_slots import build_slots
from nexus.backend.kernels.weights import from_torch
from nexus.backend.models import ResidentModels
from nexus.backend.network import NetworkModel, Samples
from nexus.backend.torch_executor import TorchNetwork
from nexus.core.clock import MonotonicClock
from nexus.core.cluster import Catalogue
from nexus.core.errors import InternalError, InvalidArgumentError
from nexus.core.model import EngineKind, Model
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import Profile
from nexus.core.request import Dispatch, DropReason, Outcome
from nexus.core.tensor import DataType, Tensor, TensorSpec
from nexus.telemetry.backend import BackendMetrics
from nexus.zoo.handler import Array
from tests.kernels.cellular_world import linear_cost

SLOTS = 4
LSTM = Model(
    name="speech",
    engine=EngineKind.TORCH,
    network="lstm",
    inputs=(TensorSpec("x", DataType.FP32, (-1, -1, -1)),),
    outputs=(TensorSpec("y", DataType.FP32, (-1, 3)),),
    parameters={"inputs": "5", "hidden": "16", "outputs": "3", "layers": "2"},
    max_batch=SLOTS,
)
PROFILE = Profile(model="speech", device="cpu", latencies_us=(50_000,) * SLOTS)
WAIT_S = 30.0
CHANCE = np.random.default_rng(1)


@pytest.fixture
async def executor() -> AsyncIterator[DeviceExecutor]:
    opened = DeviceExecutor(parse_device("cpu"), threads=1, model_root=None)
    yield opened
    opened.close()


def tensor(steps: int, items: int = 1, inputs: int = 5) -> Tensor:
    values = CHANCE.normal(size=(items, steps, inputs)).astype("<f4")
    return Tensor("x", DataType.FP32, values.shape, values.tobytes())


def prepared(model: NetworkModel, steps: int, items: int = 1) -> Samples:
    dispatch = Dispatch(id=1, session="s", deadline_us=0, items=items)
    return model.prepare(dispatch, (tensor(steps, items),))


def slow_steps(executor: DeviceExecutor) -> ChunkedModel:
    """A model that believes in steps of a millisecond, and so takes a few at a time."""
    whole = executor.load_now(LSTM)
    network = whole.network
    assert isinstance(network, TorchNetwork)
    assert network.stack is not None
    runner = build_slots(from_torch(network.stack), SLOTS, threads=1)
    cost = linear_cost(SLOTS, first_us=1_000.0)
    return ChunkedModel(whole, runner=runner, weight_bytes=0, cost=cost, read_out=network.read_out)


def check(model: NetworkModel, samples: Samples, outputs: tuple[Array, ...] | Left) -> None:
    assert isinstance(outputs, tuple)
    (expected,) = model.execute([samples])
    np.testing.assert_allclose(outputs[0], expected[0], atol=1e-5)


def test_dispatches_that_join_and_leave_get_what_they_get_alone(executor: DeviceExecutor) -> None:
    model = slow_steps(executor)
    coming = [prepared(model, steps, items) for steps, items in ((23, 1), (7, 2), (40, 1), (9, 1))]
    batch, finished, chunks = [coming.pop(0)], 0, 0
    shares: dict[int, float] = {}
    while batch:
        chunks += 1
        outputs = model.advance(batch, None)
        going = []
        for samples, output in zip(batch, outputs, strict=True):
            if isinstance(output, Left):
                assert 0 < output.share < shares.get(id(samples), 1.0)
                shares[id(samples)] = output.share
                going.append(samples)
            else:
                check(model, samples, output)
                finished += 1
        batch = going + ([coming.pop(0)] if coming else [])
    assert (finished, coming) == (4, [])
    assert chunks >= 9


def test_chunk_ends_with_the_one_it_is_told_to_end_with(executor: DeviceExecutor) -> None:
    model = slow_steps(executor)
    long, short = prepared(model, 40), prepared(model, 2)
    left, outputs = model.advance([long, short], short)
    assert left == Left(1.0 - 2 / 40)
    check(model, short, outputs)


def test_abandoned_dispatch_leaves_its_slots_to_others(executor: DeviceExecutor) -> None:
    model = slow_steps(executor)
    going = prepared(model, 40, items=SLOTS)
    model.advance([going], None)
    model.abandon(going)
    model.abandon(going)
    for _ in range(3):
        short = prepared(model, 2, items=SLOTS)
        (outputs,) = model.advance([short], None)
        check(model, short, outputs)


def test_dispatches_of_another_group_give_way_and_go_on(executor: DeviceExecutor) -> None:
    model = slow_steps(executor)
    first, second = prepared(model, 12, items=SLOTS), prepared(model, 13, items=SLOTS)
    ended: dict[int, tuple[Array, ...] | Left] = {}
    for turn in range(8):
        samples = (first, second)[turn % 2]
        if id(samples) not in ended:
            (outputs,) = model.advance([samples], None)
            if not isinstance(outputs, Left):
                ended[id(samples)] = outputs
    for samples in (first, second):
        check(model, samples, ended[id(samples)])


def test_more_than_there_are_slots_come_one_after_the_other(executor: DeviceExecutor) -> None:
    model = slow_steps(executor)
    batch = [prepared(model, 6, items=3) for _ in range(3)]
    for _ in range(12):
        if not batch:
            break
        outputs = model.advance(batch, None)
        pairs = list(zip(batch, outputs, strict=True))
        for samples, output in pairs:
            if not isinstance(output, Left):
                check(model, samples, output)
        batch = [samples for samples, output in pairs if isinstance(output, Left)]
    assert batch == []


def test_failed_chunk_names_the_reason_and_frees_the_slots(
    executor: DeviceExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = slow_steps(executor)
    runner = model._driver._runner
    with monkeypatch.context() as patched:
        patched.setattr(runner, "advance", lambda *_: 1 / 0)
        with pytest.raises(InternalError, match="ZeroDivisionError"):
            model.advance([prepared(model, 40, items=SLOTS)], None)
    short = prepared(model, 2, items=SLOTS)
    (outputs,) = model.advance([short], None)
    check(model, short, outputs)


@pytest.mark.parametrize(("steps", "inputs"), [(0, 5), (STEPS_MAX + 1, 5), (3, 4)])
def test_prepare_refuses_what_the_layer_does_not_take(
    executor: DeviceExecutor, steps: int, inputs: int
) -> None:
    model = slow_steps(executor)
    dispatch = Dispatch(id=1, session="s", deadline_us=0)
    with pytest.raises(InvalidArgumentError, match=r"must be float32\[steps, 5\]"):
        model.prepare(dispatch, (tensor(steps, inputs=inputs),))


async def test_executor_serves_only_recurrent_networks_by_chunks(executor: DeviceExecutor) -> None:
    mlp = replace(LSTM, network="mlp", inputs=(TensorSpec("x", DataType.FP32, (-1, 5)),))
    assert (await executor.load(mlp, PROFILE)).chunk_us == 0
    loaded = await executor.load(LSTM, PROFILE)
    assert loaded.chunk_us > 0
    assert loaded.memory_bytes > executor.load_now(LSTM).memory_bytes
    samples = prepared(loaded, 3)
    (outputs,) = await executor.advance(loaded, [samples], None)
    check(loaded, samples, outputs)
    await executor.unload(loaded)
    with pytest.raises(InternalError, match="unloaded"):
        await executor.advance(loaded, [samples], None)


# The whole backend, but for its sockets.


class Watched(DeviceExecutor):
    """Says when a chunk has ended."""

    def __init__(self) -> None:
        super().__init__(parse_device("cpu"), threads=1, model_root=None)
        self.advanced = asyncio.Event()

    async def advance(
        self, model: NetworkModel, batch: Sequence[Samples], ends_with: Samples | None
    ) -> Sequence[tuple[Any, ...] | Left]:
        outputs = await super().advance(model, batch, ends_with)
        self.advanced.set()
        return outputs


class Served:
    """A backend's driver over the real device, with one session of the recurrent model."""

    def __init__(self, executor: Watched) -> None:
        self.executor = executor
        self.changed = asyncio.Event()
        self.clock = MonotonicClock()
        self.outcomes: dict[int, Outcome] = {}
        metrics = BackendMetrics()
        self.models = ResidentModels(executor, "cpu", 0, self.clock, metrics)
        self.driver = EngineDriver(
            engine=BackendEngine(),
            executor=executor,
            models=self.models,
            clock=self.clock,
            metrics=metrics,
            prepare_workers=2,
        )
        self.driver.reply = self._reply
        self.driver.on_status = self.changed.set

    async def load(self) -> None:
        placement = Placement(
            session="s", model="speech", slo_us=10_000_000, batch=2, rate=1.0, latency_us=50_000
        )
        plan = BackendPlan(
            device="cpu", duty_cycle_us=50_000, occupancy=0.5, placements=(placement,)
        )
        catalogue = Catalogue(models=(LSTM,), profiles=(PROFILE,))
        self.driver.tell(PlanChanged(plan, 1, self.models.declared(catalogue, plan)))
        await self.until_changed()
        assert self.driver.engine.status().loaded == ("s",)

    def send(self, number: int, one: Tensor) -> None:
        deadline_us = self.clock.now_us() + 10_000_000
        dispatch = Dispatch(id=number, session="s", deadline_us=deadline_us, items=one.shape[0])
        self.driver.arrived(DispatchKey(1, number), dispatch, (one,))

    async def until_changed(self) -> None:
        """Until a dispatch is answered, or a model is loaded."""
        await asyncio.wait_for(self.changed.wait(), WAIT_S)
        self.changed.clear()

    async def until_advanced(self) -> None:
        """Until the end of a chunk."""
        self.executor.advanced.clear()
        await asyncio.wait_for(self.executor.advanced.wait(), WAIT_S)

    async def until_answered(self) -> None:
        await asyncio.wait_for(self.driver.answered.wait(), WAIT_S)

    def _reply(self, key: DispatchKey, outcome: Outcome) -> None:
        assert key.dispatch not in self.outcomes
        self.outcomes[key.dispatch] = outcome
        self.changed.set()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    backend = Served(Watched())
    await backend.load()
    yield backend
    backend.driver.close()
    backend.executor.close()


async def test_backend_answers_by_chunks_what_the_whole_network_gives(served: Served) -> None:
    sent = {number: tensor(1 + 1_500 * (number % 4), 1 + number % 2) for number in range(12)}
    for number, one in sent.items():
        served.send(number, one)
        await served.until_advanced()
    await served.until_answered()
    whole = served.executor.load_now(LSTM)
    for number, one in sent.items():
        outcome = served.outcomes[number]
        assert outcome.reason is None, outcome
        (answer,) = outcome.tensors
        dispatch = Dispatch(id=number, session="s", deadline_us=0, items=one.shape[0])
        (expected,) = whole.execute([whole.prepare(dispatch, (one,))])
        got = np.frombuffer(answer.content, "<f4").reshape(answer.shape)
        np.testing.assert_allclose(got, expected[0], atol=1e-5)
        assert 1 <= outcome.batch <= SLOTS


async def test_backend_answers_a_short_sequence_before_a_long_one_that_came_first(
    served: Served,
) -> None:
    served.send(1, tensor(60_000))
    await served.until_advanced()
    served.send(2, tensor(10))
    await served.until_answered()
    assert list(served.outcomes) == [2, 1]


async def test_backend_forgets_cancelled_and_lost_sequences(served: Served) -> None:
    loaded = served.models["speech"]
    assert isinstance(loaded, ChunkedModel)
    for number in (1, 2):
        served.send(number, tensor(60_000))
    await served.until_advanced()
    served.driver.tell(Cancelled(DispatchKey(1, 1)))
    await served.until_changed()
    assert served.outcomes[1].reason is DropReason.CANCELLED
    served.driver.connection_lost(1)
    served.send(3, tensor(10))
    await served.until_answered()
    assert list(served.outcomes) == [1, 3]
    assert loaded._advancing == {}
