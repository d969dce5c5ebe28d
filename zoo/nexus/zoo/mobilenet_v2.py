"""MobileNetV2 without its classifier: 1280 numbers that describe how something looks.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018. Trained on ImageNet;
as an appearance embedding it tells the same person seen again from another one.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nexus.core.model import Model
from nexus.zoo.convolution import for_inference, unit
from nexus.zoo.weights import load_into, load_state

EMBEDDING_SIZE = 1280
STAGES = (
    # expansion, channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by 1x1; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        """``expansion`` times the input channels are in the middle."""
        super().__init__()
        hidden = inputs * expansion
        self.layers = nn.Sequential()
        if expansion > 1:
            self.layers.append(unit(inputs, hidden, 1, activation=nn.ReLU6(inplace=True)))
        self.layers.append(
            unit(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6(inplace=True))
        )
        self.layers.append(unit(hidden, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """[batch, inputs, h, w] to [batch, outputs, h / stride, w / stride]."""
        result: Tensor = self.layers(features)
        return features + result if self.residual else result


class MobileNetV2(nn.Module):
    """Images [batch, 3, height, width], normalised, to embeddings [batch, 1280]."""

    def __init__(self) -> None:
        """Random weights; ``build`` loads them."""
        super().__init__()
        self.features = nn.Sequential(
            unit(3, STEM_CHANNELS, 3, 2, activation=nn.ReLU6(inplace=True))
        )
        channels = STEM_CHANNELS
        for expansion, outputs, blocks, first_stride in STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                self.features.append(InvertedResidual(channels, outputs, stride, expansion))
                channels = outputs
        self.features.append(unit(channels, EMBEDDING_SIZE, 1, activation=nn.ReLU6(inplace=True)))

    def forward(self, images: Tensor) -> Tensor:
        """The mean over all places of the last feature map."""
        features: Tensor = self.features(images)
        return features.mean(dim=(2, 3))


def build(model: Model, weights: Path | None) -> nn.Module:  # noqa: ARG001 - the common signature
    """The network with weights under the usual names (random ones without a file)."""
    network = MobileNetV2()
    if weights:
        load_into(network, _renamed(load_state(weights)), weights)
    return for_inference(network)


_NAME = re.compile(r"features\.(\d+)\.(?:conv\.)?(\d+)\.(\w+)")
_UNIT_LENGTH = 3


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The usual flat numbering (conv, norm, ReLU6, conv, ...) as units: child 4 is unit 1's norm.

    Names that do not fit the pattern are kept, so that loading names them as unexpected.
    """

    def rename(match: re.Match[str]) -> str:
        block, child, kind = match.groups()
        unit_index, part = divmod(int(child), _UNIT_LENGTH)
        inner = f"layers.{unit_index}." if ".conv." in match.string else ""
        return f"features.{block}.{inner}{('conv', 'norm', 'activation')[part]}.{kind}"

    return {_NAME.sub(rename, name): value for name, value in state.items()}
