"""Recurrent stacks through onnxruntime: what serves where the CPU extension is not installed.

It is the best of the ready-made libraries at nearly every size (docs/kernels-cpu.md), which is why
it is preferred to torch's own layers.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from nexus.backend.kernels.onnx_graph import stack_graph
from nexus.backend.kernels.runner import (
    Lengths,
    Outputs,
    check_input,
    check_state,
    check_step,
    checked_lengths,
)
from nexus.backend.kernels.weights import Floats, StackWeights


class OnnxRunner:
    """One onnxruntime session. Its weights are fp32, whatever precision was allowed."""

    def __init__(self, weights: StackWeights, *, threads: int = 0) -> None:
        """Write the graph and open it; ``threads`` 0 leaves their number to onnxruntime."""
        self.shape = weights.shape
        self.name = f"onnxruntime fp32, {threads or 'its choice of'} threads"
        self.weight_bytes = sum(
            array.nbytes for one in weights.layers for array in (one.w_ih, one.w_hh)
        )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(
            stack_graph(weights), options, providers=["CPUExecutionProvider"]
        )

    def run(
        self,
        x: Floats,
        lengths: Sequence[int] | Lengths | None = None,
        h0: Floats | None = None,
        c0: Floats | None = None,
    ) -> Outputs:
        """See `RecurrentRunner.run`."""
        check_input(self.shape, x)
        steps, batch = x.shape[:2]
        size = (self.shape.states, batch, self.shape.hidden_size)
        check_state("h0", h0, size)
        check_state("c0", c0, size)
        given = checked_lengths(lengths, x)
        names = ("h0", "c0")[: 1 + self.shape.cell.has_cell_state]
        states = {
            name: np.zeros(size, np.float32) if state is None else state
            for name, state in zip(names, (h0, c0), strict=False)
        }
        taken = np.full(batch, steps, np.int32) if given is None else given
        y, *finals = self._session.run(None, {"x": x, "lengths": taken, **states})
        for final, initial in zip(finals, states.values(), strict=True):
            # onnxruntime answers an empty sequence with zeros, not with the state it came with.
            final[:, taken == 0] = initial[:, taken == 0]
        return Outputs(y, finals[0], finals[1] if len(finals) > 1 else None)

    def step(self, x: Floats, h: Floats, c: Floats | None = None) -> Floats:
        """See `RecurrentRunner.step`."""
        check_step(self.shape, x, h, c)
        y, h_n, c_n = self.run(x[None], None, h, c)
        h[...] = h_n
        if c is not None and c_n is not None:
            c[...] = c_n
        top: Floats = y[0]
        return top
