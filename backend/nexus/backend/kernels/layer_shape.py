"""The sizes of recurrent layers, checked once where they enter."""

from dataclasses import dataclass

from nexus.backend.kernels.cell import Cell
from nexus.core.errors import InvalidArgumentError

WIDTH_MAX = 65_536
"""Of an input or a state: beyond it, byte offsets into one weight matrix leave 32 bits."""
LAYERS_MAX = 64


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One layer in one direction."""

    cell: Cell
    input_size: int
    hidden_size: int

    @property
    def rows(self) -> int:
        """Rows of both weight matrices, and the length of both biases."""
        return self.cell.gates * self.hidden_size

    @property
    def weights(self) -> int:
        """Elements of both matrices: the multiplications of one step of one sequence."""
        return self.rows * (self.input_size + self.hidden_size)


@dataclass(frozen=True, slots=True)
class StackShape:
    """Layers on top of each other, as one torch.nn.LSTM or GRU holds them."""

    cell: Cell
    input_size: int
    hidden_size: int
    layers: int = 1
    bidirectional: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on a size that no kernel takes."""
        for name, value, most in (
            ("input_size", self.input_size, WIDTH_MAX),
            ("hidden_size", self.hidden_size, WIDTH_MAX),
            ("layers", self.layers, LAYERS_MAX),
        ):
            if not 1 <= value <= most:
                raise InvalidArgumentError(
                    f"a recurrent stack with {name}={value}: must be in 1..{most}",
                    reason="invalid_shape",
                )

    @property
    def directions(self) -> int:
        """1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """The width of a step's output: both directions side by side."""
        return self.directions * self.hidden_size

    @property
    def states(self) -> int:
        """How many states there are: layer-major, direction-minor, as in torch's h_n."""
        return self.layers * self.directions

    def layer(self, index: int) -> LayerShape:
        """The shape of each direction of a layer; the first takes the stack's own input."""
        size = self.output_size if index else self.input_size
        return LayerShape(self.cell, size, self.hidden_size)
