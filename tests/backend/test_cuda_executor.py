"""Torch on a CUDA device gives what the CPU gives; runs where there is one."""

import numpy as np
import pytest
import torch

from nexus.backend.device_executor import DeviceExecutor
from nexus.backend.device_name import parse_device
from nexus.core.model import EngineKind, Model
from nexus.core.profile import Profile
from nexus.core.request import Dispatch
from nexus.core.tensor import DataType, Tensor, TensorSpec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]

RECURRENT = Model(
    name="toy",
    engine=EngineKind.TORCH,
    network="lstm",
    inputs=(TensorSpec("x", DataType.FP32, (-1, 5, 3)),),
    outputs=(TensorSpec("y", DataType.FP32, (-1, 2)),),
    parameters={"inputs": "3", "hidden": "4", "outputs": "2", "layers": "2"},
)


async def answer_on(
    device: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> bytes:
    """What a batch of these rows gives on a device."""
    executor = DeviceExecutor(parse_device(device), threads=1, model_root=None)
    profile = Profile(model="toy", device="any", latencies_us=(1_000,) * 8)
    loaded = await executor.load(RECURRENT, profile)
    dispatch = Dispatch(id=1, session="toy@1ms", deadline_us=0, items=len(values))
    tensor = Tensor("x", DataType.FP32, values.shape, values.tobytes())
    prepared = loaded.prepare(dispatch, (tensor,))
    (outputs,) = await executor.execute(loaded, [prepared])
    content = loaded.answer(prepared, outputs).tensors[0].content
    executor.close()
    return content


async def test_cuda_executor_agrees_with_the_cpu() -> None:
    values = np.random.default_rng(3).normal(size=(4, 5, 3)).astype(np.float32)
    on_gpu = np.frombuffer(await answer_on("cuda:0", values), np.float32)
    on_cpu = np.frombuffer(await answer_on("cpu", values), np.float32)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4, atol=1e-5)
