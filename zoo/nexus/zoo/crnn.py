"""CRNN: convolutions, a bidirectional GRU and CTC read one line of text.

Shi et al., "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015,
with the convolutions split into depthwise and pointwise ones (0.36 million parameters in all). The
recurrent layer is why this model gains from batches even on a CPU.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nexus.core.errors import InvalidArgumentError
from nexus.core.model import Model
from nexus.zoo.alphabet import ALPHABET
from nexus.zoo.convolution import for_inference, unit
from nexus.zoo.weights import load_checkpoint, load_into, load_state

STEM_CHANNELS = 24
BLOCKS: tuple[tuple[int, tuple[int, int]], ...] = (
    # channels, stride (down, along): the height goes from 32 to 1, the width is quartered
    (48, (2, 2)),
    (64, (1, 1)),
    (96, (2, 1)),
    (128, (1, 1)),
    (160, (2, 1)),
    (192, (2, 1)),
)
HIDDEN = 128
PIXELS_PER_STEP = 4


class Crnn(nn.Module):
    """Lines [batch, 1, 32, width] in -1..1 to logits [batch, width / 4, alphabet + 1]."""

    def __init__(self) -> None:
        """Random weights; ``build`` loads them."""
        super().__init__()
        self.stem = unit(1, STEM_CHANNELS, 3, 2, activation=nn.ReLU(inplace=True))
        self.blocks = nn.Sequential()
        channels = STEM_CHANNELS
        for outputs, stride in BLOCKS:
            self.blocks.append(_separable(channels, outputs, stride))
            channels = outputs
        self.rnn = nn.GRU(channels, HIDDEN, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN, len(ALPHABET) + 1)

    def forward(self, lines: Tensor) -> Tensor:
        """One step for every 4 pixels of width; class 0 is CTC's blank."""
        columns = self.blocks(self.stem(lines)).squeeze(2).permute(0, 2, 1)
        states, _ = self.rnn(columns)
        logits: Tensor = self.head(states)
        return logits


def build(model: Model, weights: Path | None) -> nn.Module:  # noqa: ARG001 - the common signature
    """The network with weights from a checkpoint that also states its alphabet."""
    network = Crnn()
    if weights:
        alphabet = load_checkpoint(weights).get("charset")
        if alphabet != ALPHABET:
            raise InvalidArgumentError(
                f"weights {weights.name} were trained on the alphabet {alphabet!r}, not on that "
                "of nexus.zoo.alphabet: every character would be read as another one",
                reason="invalid_weights",
            )
        load_into(network, _renamed(load_state(weights, key="model")), weights)
    return for_inference(network)


def _separable(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        unit(inputs, inputs, 3, stride, groups=inputs, activation=nn.ReLU(inplace=True)),
        unit(inputs, outputs, 1, activation=nn.ReLU(inplace=True)),
    )


_RENAMES = {
    "stem.0": "stem.conv",
    "stem.1": "stem.norm",
    "depthwise": "0.conv",
    "bn1": "0.norm",
    "pointwise": "1.conv",
    "bn2": "1.norm",
}
_PATTERN = re.compile("|".join(re.escape(name) for name in _RENAMES))


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        _PATTERN.sub(lambda match: _RENAMES[match.group()], name): value
        for name, value in state.items()
    }
