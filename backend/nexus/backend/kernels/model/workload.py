"""What is to be run: a stack, how many sequences at once, and how long they are."""

from dataclasses import dataclass

from nexus.backend.kernels.cell import Precision
from nexus.backend.kernels.layer_shape import StackShape
from nexus.core.errors import InvalidArgumentError

BATCH_MAX = 65_536
STEPS_MAX = 1 << 24


@dataclass(frozen=True, slots=True)
class Workload:
    """``batch`` sequences of ``steps`` steps each, with weights kept in ``precision``."""

    shape: StackShape
    batch: int
    steps: int
    precision: Precision = Precision.FP32

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on a batch or a number of steps that nothing can run."""
        for name, value, most in (
            ("batch", self.batch, BATCH_MAX),
            ("steps", self.steps, STEPS_MAX),
        ):
            if not 1 <= value <= most:
                raise InvalidArgumentError(
                    f"a recurrent workload with {name}={value}: must be in 1..{most}",
                    reason="invalid_workload",
                )

    def __str__(self) -> str:
        """``lstm 256 -> 1024, 2 layers, batch 4, 100 steps, fp32``."""
        shape = self.shape
        parts = [f"{shape.cell.value} {shape.input_size} -> {shape.hidden_size}"]
        if shape.layers > 1:
            parts.append(f"{shape.layers} layers")
        if shape.bidirectional:
            parts.append("bidirectional")
        parts += [f"batch {self.batch}", f"{self.steps} steps", self.precision.value]
        return ", ".join(parts)
