"""Torch and ONNX networks on the CPU: the values, the threads, the named failures."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from nexus.backend.device_executor import DeviceExecutor
from nexus.backend.device_name import parse_device
from nexus.backend.executor import Part
from nexus.backend.network import NetworkModel
from nexus.core.errors import InternalError, InvalidArgumentError, NexusError
from nexus.core.model import EngineKind, Model
from nexus.core.profile import Profile
from nexus.core.request import Dispatch
from nexus.core.tensor import DataType, Tensor, TensorSpec
from nexus.zoo.handler import Array
from nexus.zoo.networks import build_network

PROFILE = Profile(model="toy", device="cpu", latencies_us=(1_000,) * 8)
MLP = Model(
    name="toy",
    engine=EngineKind.TORCH,
    network="mlp",
    inputs=(TensorSpec("x", DataType.FP32, (-1, 3)),),
    outputs=(TensorSpec("y", DataType.FP32, (-1, 2)),),
    parameters={"inputs": "3", "hidden": "4", "outputs": "2"},
)


@pytest.fixture
async def executor() -> AsyncIterator[DeviceExecutor]:
    opened = DeviceExecutor(parse_device("cpu"), threads=1, model_root=None)
    yield opened
    opened.close()


def rows(values: Array) -> tuple[Tensor, ...]:
    return (Tensor("x", DataType.FP32, values.shape, values.astype("<f4").tobytes()),)


def dispatch(items: int) -> Dispatch:
    return Dispatch(id=1, session="toy@1ms", deadline_us=0, items=items)


async def test_prefix_group_gives_each_member_what_it_gives_alone(executor: DeviceExecutor) -> None:
    """Networks here share no layers: the members run one after the other in the batch."""
    members = [await executor.load(replace(MLP, name=name), PROFILE) for name in ("cars", "faces")]
    values = np.random.default_rng(1).normal(size=(3, 3)).astype("f4")
    prepared = [members[0].prepare(dispatch(1), rows(values[i : i + 1])) for i in range(3)]
    parts = [Part(members[0], prepared[:2]), Part(members[1], prepared[2:])]
    outputs = await executor.execute_group(PROFILE, parts)
    alone = [
        *await executor.execute(members[0], prepared[:2]),
        *await executor.execute(members[1], prepared[2:]),
    ]
    assert len(outputs) == 3
    for (grouped,), (expected,) in zip(outputs, alone, strict=True):
        np.testing.assert_array_equal(grouped, expected)


async def test_torch_batch_gives_each_dispatch_what_it_gets_alone(executor: DeviceExecutor) -> None:
    loaded = await executor.load(MLP, PROFILE)
    assert loaded.memory_bytes == (3 * 4 + 4 + 4 * 2 + 2) * 4
    values = np.random.default_rng(1).normal(size=(6, 3)).astype("f4")
    parts = (values[:1], values[1:4], values[4:])
    prepared = [loaded.prepare(dispatch(len(part)), rows(part)) for part in parts]
    outputs = await executor.execute(loaded, prepared)
    with torch.inference_mode():
        expected = build_network(MLP)(torch.from_numpy(values)).numpy()
    answers = [
        loaded.answer(one, output).tensors[0] for one, output in zip(prepared, outputs, strict=True)
    ]
    assert [answer.shape for answer in answers] == [(1, 2), (3, 2), (2, 2)]
    got = np.concatenate([np.frombuffer(a.content, "<f4").reshape(a.shape) for a in answers])
    np.testing.assert_allclose(got, expected, rtol=1e-5)


async def test_executor_runs_in_one_thread_that_is_not_the_loops(executor: DeviceExecutor) -> None:
    threads: set[str] = set()

    class Spy:
        memory_bytes = 0

        def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
            threads.add(threading.current_thread().name)
            return inputs

        def close(self) -> None:
            pass

    loaded = await executor.load(MLP, PROFILE)
    spied = NetworkModel(Spy(), loaded._handler)
    batch = [spied.prepare(dispatch(1), rows(np.zeros((1, 3))))]
    await asyncio.gather(*(executor.execute(spied, batch) for _ in range(4)))
    assert len(threads) == 1
    assert threading.current_thread().name not in threads


async def test_executor_names_what_a_network_raises(executor: DeviceExecutor) -> None:
    class Broken:
        memory_bytes = 0

        def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
            raise ValueError(f"{len(inputs)} input")

        def close(self) -> None:
            pass

    loaded = await executor.load(MLP, PROFILE)
    broken = NetworkModel(Broken(), loaded._handler)
    with pytest.raises(InternalError, match="ValueError: 1 input"):
        await executor.execute(broken, [broken.prepare(dispatch(1), rows(np.zeros((1, 3))))])


async def test_executor_runs_odd_shapes_alone_instead_of_failing_the_batch(
    executor: DeviceExecutor,
) -> None:
    class Mean:
        memory_bytes = 0

        def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
            return (inputs[0].mean(axis=1, keepdims=True),)

        def close(self) -> None:
            pass

    free = Model(
        name="toy",
        engine=EngineKind.TORCH,
        network="mlp",
        inputs=(TensorSpec("x", DataType.FP32, (-1, -1)),),
        outputs=(TensorSpec("y", DataType.FP32, (-1, 1)),),
        parameters=MLP.parameters,
    )
    loaded = await executor.load(free, PROFILE)
    mean = NetworkModel(Mean(), loaded._handler)
    batch = [mean.prepare(dispatch(2), rows(np.full((2, width), width))) for width in (3, 5)]
    outputs = await executor.execute(mean, batch)
    assert [output[0].tolist() for output in outputs] == [[[3], [3]], [[5], [5]]]


async def test_prepare_refuses_other_rows_than_items(executor: DeviceExecutor) -> None:
    loaded = await executor.load(MLP, PROFILE)
    with pytest.raises(InvalidArgumentError, match="2 items, the dispatch says 3"):
        loaded.prepare(dispatch(3), rows(np.zeros((2, 3))))


async def test_executor_unloads(executor: DeviceExecutor) -> None:
    loaded = await executor.load(MLP, PROFILE)
    prepared = loaded.prepare(dispatch(1), rows(np.zeros((1, 3))))
    await executor.unload(loaded)
    with pytest.raises(InternalError, match="unloaded"):
        await executor.execute(loaded, [prepared])


async def test_onnx_network_runs_by_declared_names(
    executor: DeviceExecutor, tmp_path: Path
) -> None:
    path = tmp_path / "add.onnx"
    path.write_bytes(ADD_ONE)
    assert ort.InferenceSession(str(path)).get_inputs()[0].name == "x"
    add = Model(
        name="toy",
        engine=EngineKind.ONNX,
        weights=str(path),
        inputs=(TensorSpec("x", DataType.FP32, (-1, 3)),),
        outputs=(TensorSpec("y", DataType.FP32, (-1, 3)),),
    )
    loaded = await executor.load(add, PROFILE)
    values = np.arange(6, dtype="f4").reshape(2, 3)
    prepared = loaded.prepare(dispatch(2), rows(values))
    (outputs,) = await executor.execute(loaded, [prepared])
    np.testing.assert_array_equal(outputs[0], values + values)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(name="a", engine=EngineKind.ONNX, weights="no.onnx"), "no.onnx"),
        (Model(name="a", engine=EngineKind.TORCH, network="none"), "none"),
        (Model(name="a", engine=EngineKind.EMULATED), "only on an emulated device"),
    ],
)
async def test_executor_says_why_a_model_does_not_load(
    executor: DeviceExecutor, model: Model, message: str
) -> None:
    with pytest.raises(NexusError, match=message):
        await executor.load(model, PROFILE)


async def test_onnx_network_refuses_what_is_not_onnx(
    executor: DeviceExecutor, tmp_path: Path
) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not onnx")
    bad = Model(name="a", engine=EngineKind.ONNX, weights=str(path))
    with pytest.raises(InvalidArgumentError, match=r"bad\.onnx cannot be read as ONNX"):
        await executor.load(bad, PROFILE)


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2, len(payload)]) + payload


def _value(name: bytes) -> bytes:
    """A ValueInfoProto: float, shape [batch, 3]."""
    shape = _field(1, _field(2, b"b")) + _field(1, b"\x08\x03")
    tensor = b"\x08\x01" + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


def _add_one() -> bytes:
    """An ONNX ModelProto of y = x + x, by hand: the onnx package is not needed to run one."""
    node = _field(1, b"x") + _field(1, b"x") + _field(2, b"y") + _field(4, b"Add")
    graph = _field(1, node) + _field(2, b"g") + _field(11, _value(b"x")) + _field(12, _value(b"y"))
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x0d")


ADD_ONE = _add_one()
