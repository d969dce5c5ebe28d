"""The points that are measured, and the regimes whose means are promised."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from nexus.backend.kernels.cell import Cell
from nexus.backend.kernels.layer_shape import StackShape

CELLS = (Cell.LSTM, Cell.GRU)
HIDDEN = (64, 128, 256, 512, 1024)
BATCHES = (1, 2, 4, 8, 16, 32)
STEPS = (25, 100)
LAYERS = (1, 2)
POINT_MIN = 0.95
"""No single fp32 point may be slower against the best library than this."""


@dataclass(frozen=True, slots=True)
class Point:
    """A stack whose input is as wide as its state, and a batch of equal lengths."""

    cell: Cell
    hidden: int
    batch: int
    steps: int
    layers: int

    @property
    def shape(self) -> StackShape:
        """The sizes of the stack."""
        return StackShape(self.cell, self.hidden, self.hidden, self.layers)

    @property
    def one_thread_may_win(self) -> bool:
        """Where two threads are sure to be faster, one is not timed: it costs most of the time."""
        return self.hidden * self.batch <= 2048  # noqa: PLR2004 - far above where it happens


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that must be met, and one to strive for."""

    floor: float
    aim: float


@dataclass(frozen=True, slots=True)
class Regime:
    """Points that are bound by the same thing, and what their geometric mean is to be."""

    name: str
    hidden: range
    batches: range
    goals: dict[Cell, Goal]
    bf16: Goal | None = None

    def holds(self, point: Point) -> bool:
        """Whether a point belongs to it."""
        return point.hidden in self.hidden and point.batch in self.batches


FEW, MANY = range(1, 3), range(8, 33)
REGIMES = (
    Regime(
        "hidden <= 128, batch 1-2",
        range(1, 129),
        FEW,
        {Cell.LSTM: Goal(1.8, 2.3), Cell.GRU: Goal(2.3, 3.0)},
        Goal(5.0, 6.0),
    ),
    Regime(
        "hidden <= 128, batch 4-32",
        range(1, 129),
        range(4, 33),
        {Cell.LSTM: Goal(1.3, 1.5), Cell.GRU: Goal(2.1, 2.5)},
    ),
    Regime(
        "hidden 256, batch 1-2",
        range(256, 257),
        FEW,
        dict.fromkeys(CELLS, Goal(1.6, 1.75)),
        Goal(2.4, 3.0),
    ),
    Regime(
        "hidden >= 512, batch 1-2",
        range(512, 1025),
        FEW,
        dict.fromkeys(CELLS, Goal(1.4, 1.55)),
        Goal(1.6, 2.0),
    ),
    Regime("hidden >= 256, batch 4", range(256, 1025), range(4, 5), {}),
    Regime(
        "hidden >= 256, batch 8-32",
        range(256, 1025),
        MANY,
        {Cell.LSTM: Goal(1.0, 1.12), Cell.GRU: Goal(1.1, 1.25)},
    ),
)
STEP_GOALS = {64: Goal(5.0, 8.0), 256: Goal(2.4, 3.0), 512: Goal(1.4, 1.7)}
"""One step a call at batch 1, against onnxruntime's."""


def grid(*, quick: bool) -> Iterator[Point]:
    """Every point, or with ``quick`` one layer of 25 steps at three sizes and batches."""
    hidden, batches = ((64, 256, 512), (1, 2, 8)) if quick else (HIDDEN, BATCHES)
    steps, layers = (STEPS[:1], LAYERS[:1]) if quick else (STEPS, LAYERS)
    for cell, h, b, t, n in product(CELLS, hidden, batches, steps, layers):
        yield Point(cell, h, b, t, n)


def regime_of(point: Point) -> Regime:
    """The one it belongs to."""
    return next(regime for regime in REGIMES if regime.holds(point))
