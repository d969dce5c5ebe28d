"""Who is timed: a name and a call without arguments that runs one batch.

Inputs lie ready in each library's own form. A name ends in the number of threads.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort
import torch

from benchmarks.grnn_cpu.regimes import Point
from benchmarks.grnn_cpu.results import OURS, OURS_BF16, OURS_STRICT
from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.cpu_runner import CpuRunner
from nexus.backend.kernels.onnx_graph import stack_graph
from nexus.backend.kernels.weights import Floats, StackWeights, from_torch

Contenders: TypeAlias = dict[str, Callable[[], Any]]


def contenders(point: Point, *, compiled: bool = False) -> tuple[Contenders, Floats]:
    """All of them, and torch's answer in float32, which each of theirs must resemble."""
    torch.manual_seed(0)
    kind = torch.nn.LSTM if point.cell is Cell.LSTM else torch.nn.GRU
    layer = kind(point.hidden, point.hidden, point.layers).eval().requires_grad_(False)
    x = torch.randn(point.steps, point.batch, point.hidden)
    weights = from_torch(layer)
    graph = stack_graph(weights, ragged=False, states=False)
    threads = (1, 2) if point.one_thread_may_win else (2,)
    found: Contenders = {}
    for n in threads:
        found[f"torch {n}"] = _torch(layer, x, n)
        found[f"onnxruntime {n}"] = _onnxruntime(graph, x.numpy(), n)
        found[f"openvino {n}"] = _openvino(graph, x.numpy(), n, "f32")
        found[f"openvino bf16 {n}"] = _openvino(graph, x.numpy(), n, "bf16")
        found |= _ours(weights, x.numpy(), n)
    halved = kind(point.hidden, point.hidden, point.layers).eval().requires_grad_(False)
    halved.load_state_dict(layer.state_dict())
    found["torch bf16 2"] = _torch(halved.bfloat16(), x.bfloat16(), 2)
    if compiled:
        found["torch.compile 2"] = _torch(_compiled(layer), x, 2)
    with torch.inference_mode():
        return found, layer(x)[0].numpy().copy()


def largest_error(answer: Any, wanted: Floats) -> float:
    """Of one contender's answer, whatever its form."""
    array = answer.float().numpy() if isinstance(answer, torch.Tensor) else np.asarray(answer)
    return float(np.abs(array.reshape(wanted.shape) - wanted).max())


def _ours(weights: StackWeights, x: Floats, threads: int) -> Contenders:
    runners = {
        OURS: CpuRunner(weights, threads=threads),
        OURS_BF16: CpuRunner(weights, threads=threads, precision=Precision.BF16),
    }
    if x.shape[1] <= 2:  # noqa: PLR2004 - where fp32 may use fp24
        runners[OURS_STRICT] = CpuRunner(weights, threads=threads, narrow_batch_max=0)
    return {f"{name}{threads}": _ours_run(runner, x) for name, runner in runners.items()}


def _ours_run(runner: CpuRunner, x: Floats) -> Callable[[], Any]:
    return lambda: runner.run(x).y


def _torch(
    layer: Callable[[torch.Tensor], Any], x: torch.Tensor, threads: int
) -> Callable[[], Any]:
    def run() -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return layer(x)[0]

    return run


def _compiled(layer: torch.nn.RNNBase) -> Callable[[torch.Tensor], Any]:
    import torch._dynamo.config as dynamo  # noqa: PLC0415 - slow, and only for this

    dynamo.allow_rnn = True  # else it hands the layer back to eager torch
    found: Callable[[torch.Tensor], Any] = torch.compile(layer)
    return found


def _onnxruntime(graph: bytes, x: Floats, threads: int) -> Callable[[], Any]:
    session = onnx_session(graph, threads)
    return lambda: session.run(None, {"x": x})[0]


def onnx_session(graph: bytes, threads: int) -> ort.InferenceSession:
    """A session with so many threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _openvino(graph: bytes, x: Floats, threads: int, kept: str) -> Callable[[], Any]:
    import openvino  # noqa: PLC0415 - slow, and only for this

    core = openvino.Core()
    model = core.read_model(graph)
    model.reshape(list(x.shape))  # known sizes: the best it can do
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": kept,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer({0: x}, share_inputs=True, share_outputs=True)[0]
