"""EfficientNet-Lite0: an ImageNet classifier made for small devices.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019; the
Lite form has ReLU6 for swish and no squeeze-and-excitation. The weights were trained in TensorFlow,
whose "same" padding puts the odd pixel on the right and below: it matters for every stride of 2.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nexus.core.model import Model
from nexus.zoo.convolution import for_inference, unit
from nexus.zoo.weights import load_into, load_state

CLASSES = 1000
STAGES = (
    # expansion, channels, blocks, stride of the first block, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
EPSILON = 1e-3


class Block(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int) -> None:
        """``expansion`` times the input channels are in the middle."""
        super().__init__()
        hidden = inputs * expansion
        self.expand = _unit(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _unit(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _unit(hidden, outputs, 1, active=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """[batch, inputs, h, w] to [batch, outputs, h / stride, w / stride]."""
        result: Tensor = self.project(self.depthwise(self.expand(features)))
        return features + result if self.residual else result


class EfficientNetLite0(nn.Module):
    """Images [batch, 3, 224, 224] as (pixel - 127) / 128 to logits [batch, 1000]."""

    def __init__(self) -> None:
        """Random weights; ``build`` loads them."""
        super().__init__()
        self.stem = _unit(3, STEM_CHANNELS, 3, 2)
        self.blocks = nn.Sequential()
        channels = STEM_CHANNELS
        for expansion, outputs, blocks, first_stride, kernel in STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                self.blocks.append(Block(channels, outputs, stride, expansion, kernel))
                channels = outputs
        self.head = _unit(channels, HEAD_CHANNELS, 1)
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Unnormalised log-probabilities."""
        features: Tensor = self.head(self.blocks(self.stem(images)))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


def build(model: Model, weights: Path | None) -> nn.Module:  # noqa: ARG001 - the common signature
    """The network with weights under TensorFlow's layer names (random ones without a file)."""
    network = EfficientNetLite0()
    if weights:
        load_into(network, _renamed(load_state(weights)), weights)
    return for_inference(network)


def _unit(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, active: bool = True
) -> nn.Sequential:
    excess = kernel - stride
    return unit(
        inputs,
        outputs,
        kernel,
        stride,
        groups=groups,
        activation=nn.ReLU6(inplace=True) if active else None,
        pad=nn.ZeroPad2d((excess // 2, excess - excess // 2) * 2) if stride > 1 else None,
        epsilon=EPSILON,
    )


_RENAMES = (
    (r"^_conv_stem", "stem.conv"),
    (r"^_bn0", "stem.norm"),
    (r"^_conv_head", "head.conv"),
    (r"^_bn1", "head.norm"),
    (r"^_fc", "classifier"),
    (r"^_blocks", "blocks"),
    (r"_expand_conv", "expand.conv"),
    (r"_bn0", "expand.norm"),
    (r"_depthwise_conv", "depthwise.conv"),
    (r"_bn1", "depthwise.norm"),
    (r"_project_conv", "project.conv"),
    (r"_bn2", "project.norm"),
)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    result = {}
    for name, value in state.items():
        new_name = name
        for pattern, replacement in _RENAMES:
            new_name = re.sub(pattern, replacement, new_name)
        result[new_name] = value
    return result
