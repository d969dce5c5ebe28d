"""Reading darknet's weight files: a short header, then every layer's float32 numbers in a row."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nexus.core.errors import InvalidArgumentError

HEADER_BYTES = 20
"""Three int32 of version and one int64 of images seen, since darknet 0.2."""


def load_darknet(layers: list[nn.Sequential], path: Path) -> None:
    """Fill ``layers``, which must be in file order; all numbers of the file must be used.

    A layer is a unit of nexus.zoo.convolution, or a lone ``conv`` with a bias. Darknet stores the
    bias and normalisation of a layer before its kernel.

    Raises:
        InvalidArgumentError: the file has more or fewer numbers than the layers.
    """
    content = path.read_bytes()
    slots = [tensor for layer in layers for tensor in _in_file_order(layer)]
    wanted = HEADER_BYTES + 4 * sum(slot.numel() for slot in slots)
    if len(content) != wanted:
        raise InvalidArgumentError(
            f"weights {path.name}: {len(content)} bytes, but the layers of this network take "
            f"{wanted}; it belongs to another network, or is cut short",
            reason="invalid_weights",
        )
    numbers = torch.from_numpy(np.frombuffer(content, "<f4", offset=HEADER_BYTES).copy())
    offset = 0
    with torch.no_grad():
        for slot in slots:
            slot.copy_(numbers[offset : offset + slot.numel()].view_as(slot))
            offset += slot.numel()


def _in_file_order(layer: nn.Sequential) -> list[Tensor]:
    children = dict(layer.named_children())
    conv, norm = children["conv"], children.get("norm")
    assert isinstance(conv, nn.Conv2d), layer
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None, layer
        assert norm.running_var is not None, layer
        return [norm.bias, norm.weight, norm.running_mean, norm.running_var, conv.weight]
    assert conv.bias is not None, layer
    return [conv.bias, conv.weight]
