"""What is measured: layers and stacks, batches, and sequences."""

from dataclasses import dataclass

from nexus.backend.kernels.cell import Cell, Precision
from nexus.backend.kernels.layer_shape import StackShape

STEPS = 100


@dataclass(frozen=True, slots=True)
class Point:
    """One layer or stack, its batch and its sequences; inputs are as wide as the state."""

    cell: Cell
    precision: Precision
    hidden: int
    batch: int
    steps: int = STEPS
    layers: int = 1
    bidirectional: bool = False
    ragged: bool = False
    expected: str = ""
    """The speed-up that the design expects of an H100, which nobody had measured."""

    @property
    def shape(self) -> StackShape:
        """Of the stack."""
        return StackShape(self.cell, self.hidden, self.hidden, self.layers, self.bidirectional)

    @property
    def label(self) -> str:
        """For tables and plots."""
        words = [self.cell.value, self.precision.value, f"{self.hidden} b{self.batch}"]
        words += [f"x{self.layers}"] * (self.layers > 1)
        words += ["both ways"] * self.bidirectional + ["ragged"] * self.ragged
        words += [f"T{self.steps}"] * (self.steps != STEPS)
        return " ".join(words)

    @property
    def lengths(self) -> list[int]:
        """Of each sequence: all equal, or falling from all steps to half of them."""
        if not self.ragged:
            return [self.steps] * self.batch
        shorter = self.steps // 2
        return [self.steps - index * shorter // self.batch for index in range(self.batch)]


FP32, BF16, FP16 = Precision.FP32, Precision.BF16, Precision.FP16
LSTM, GRU = Cell.LSTM, Cell.GRU

POINTS = (
    *(Point(LSTM, p, 128, 1, expected="2-3x") for p in (FP32, BF16, FP16)),
    *(Point(LSTM, p, h, 1, expected="7-15x") for p in (FP32, BF16, FP16) for h in (256, 512, 1024)),
    *(Point(LSTM, p, h, 4, expected="8-20x") for p in (FP32, BF16) for h in (256, 512, 1024)),
    *(Point(LSTM, BF16, 512, batch) for batch in (8, 16, 32)),
    Point(LSTM, BF16, 1536, 1),
    Point(LSTM, FP16, 768, 16, expected="1.5-1.8x"),
    *(Point(GRU, p, 512, 1, expected="7-15x") for p in (FP32, BF16)),
    Point(LSTM, FP32, 256, 4, ragged=True, expected="8-20x"),
    Point(LSTM, BF16, 512, 4, ragged=True, expected="8-20x"),
    Point(LSTM, FP32, 256, 4, bidirectional=True, expected="8-20x"),
    Point(LSTM, BF16, 512, 4, bidirectional=True, ragged=True, expected="8-20x"),
    Point(LSTM, FP32, 256, 1, layers=2, expected="8-20x"),
    Point(LSTM, BF16, 512, 1, layers=4, expected="8-20x"),
    *(Point(LSTM, BF16, 512, 1, steps=steps) for steps in (20, 500)),
)
QUICK = tuple(p for p in POINTS if p.hidden == 256)  # noqa: PLR2004 - a width that shows it all

CHECKED = tuple(
    Point(cell, precision, hidden, batch, 40, layers, bidirectional, ragged)
    for cell in Cell
    for precision in (FP32, BF16, FP16)
    for hidden, batch, layers, bidirectional, ragged in (
        (129, 1, 1, False, False),
        (512, 3, 1, True, True),
        (257, 5, 3, False, True),
        (1000, 2, 1, False, True),
    )
)
