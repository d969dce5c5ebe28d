"""One step a call, state in and out: what streams and cellular batching do."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import torch

from benchmarks.grnn_cpu.contenders import onnx_session
from benchmarks.grnn_cpu.regimes import CELLS, Point
from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.cpu_runner import CpuRunner
from nexus.backend.kernels.onnx_graph import stack_graph
from nexus.backend.kernels.weights import Floats, from_torch

HIDDEN = (64, 256, 512)
BATCHES = (1, 8, 32)


def step_grid(*, quick: bool) -> Iterator[Point]:
    """Three sizes, at batch 1 only with ``quick``."""
    for cell, hidden, batch in product(CELLS, HIDDEN, BATCHES[:1] if quick else BATCHES):
        yield Point(cell, hidden, batch, steps=1, layers=1)


def step_contenders(point: Point) -> dict[str, Callable[[], Any]]:
    """Onnxruntime and ours, at one thread and two; each begins where its last step ended."""
    torch.manual_seed(0)
    kind = torch.nn.LSTM if point.cell is Cell.LSTM else torch.nn.GRU
    layer = kind(point.hidden, point.hidden).eval().requires_grad_(False)
    x = np.random.default_rng(0).standard_normal((point.batch, point.hidden)).astype(np.float32)
    found: dict[str, Callable[[], Any]] = {}
    for threads in (1, 2):
        found[f"onnxruntime {threads}"] = _onnxruntime(layer, x, threads)
        found[f"ours {threads}"] = _ours(layer, x, threads)
    return found


def _ours(layer: torch.nn.RNNBase, x: Floats, threads: int) -> Callable[[], Any]:
    runner = CpuRunner(from_torch(layer), threads=threads)
    size = (1, len(x), layer.hidden_size)
    h = np.zeros(size, np.float32)
    c = np.zeros(size, np.float32) if layer.mode == "LSTM" else None
    return lambda: runner.step(x, h, c)


def _onnxruntime(layer: torch.nn.RNNBase, x: Floats, threads: int) -> Callable[[], Any]:
    session = onnx_session(stack_graph(from_torch(layer), ragged=False), threads)
    names = ["h0", "c0"] if layer.mode == "LSTM" else ["h0"]
    feed = {name: np.zeros((1, len(x), layer.hidden_size), np.float32) for name in names}
    feed["x"] = x[None]

    def run() -> None:
        _, *states = session.run(None, feed)
        feed.update(zip(names, states, strict=True))

    return run
