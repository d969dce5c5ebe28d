"""The recurrent cells there are, and the precisions their weights may be kept in.

With W for ``w_ih``, R for ``w_hh``, x for a step's input and h for the state before it:

    LSTM              i, f, o = sigmoid(W x + b + R h + b'),  g = tanh(W x + b + R h + b')
                      c' = f c + i g,  h' = o tanh(c')
    GRU               r, z = sigmoid(W x + b + R h + b'),  n = tanh(W x + b + r (R h + b'))
                      h' = (1 - z) n + z h
    GRU_RESET_BEFORE  the same, but n = tanh(W x + b + R (r h) + b')

The two GRUs differ in when the reset gate acts, and their weights are not interchangeable: PyTorch
and cuDNN know only GRU, an ONNX node says which by ``linear_before_reset``, Keras by
``reset_after``. The first needs one exchange of state a step, the second two (GRNN, EuroSys'19).
"""

from enum import Enum


class Cell(Enum):
    """A recurrent cell. The values are the names that the CPU extension takes."""

    LSTM = "lstm"
    GRU = "gru"
    GRU_RESET_BEFORE = "gru_reset_before"

    @property
    def gates(self) -> int:
        """Rows of weights for each hidden unit."""
        return len(self.gate_order)

    @property
    def gate_order(self) -> str:
        """The gates from the first row of a weight matrix to the last: PyTorch's order."""
        return "ifgo" if self is Cell.LSTM else "rzn"

    @property
    def has_cell_state(self) -> bool:
        """Whether a second state c goes from step to step beside h."""
        return self is Cell.LSTM


class Precision(Enum):
    """How weights are kept. Sums are in fp32 always; inputs and outputs are fp32."""

    FP32 = "fp32"
    FP24 = "fp24"
    """fp32 with the mantissa rounded to 16 bits: 3 bytes a weight, one batch row hardly notices."""
    BF16 = "bf16"
    """2 bytes, and h is rounded to bf16 too before it is multiplied."""
    FP16 = "fp16"
    """2 bytes; on GPUs only."""

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight."""
        return {Precision.FP32: 4, Precision.FP24: 3}.get(self, 2)
