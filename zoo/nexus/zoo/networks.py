"""The networks there are, by the name that ``Model.network`` gives.

A network is built by a function ``build(model, weights) -> torch.nn.Module``: ``weights`` is the
resolved file or None. The module takes the model's inputs in order, dimension 0 being the batch,
and returns a tensor or a tuple of tensors in the order of the model's outputs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nexus.core.model import Model
from nexus.zoo.registry import Registry
from nexus.zoo.weights import resolve

if TYPE_CHECKING:
    import torch

NETWORKS = Registry(
    group="nexus.networks",
    kind="network",
    builtin={
        "yolov3_tiny": "nexus.zoo.yolov3_tiny:build",
        "mobilenet_v2": "nexus.zoo.mobilenet_v2:build",
        "efficientnet_lite0": "nexus.zoo.efficientnet_lite0:build",
        "crnn": "nexus.zoo.crnn:build",
        "mlp": "nexus.zoo.mlp:build",
        "lstm": "nexus.zoo.lstm:build",
    },
)


def build_network(model: Model, root: Path | None = None) -> "torch.nn.Module":
    """The network of a torch model on the CPU, weights loaded, in eval mode, without gradients.

    Args:
        model: The declaration; ``network``, ``weights`` and ``parameters`` are used.
        root: The folder that a relative weights path starts from (default: the current one).

    Raises:
        NotFoundError: no network has this name, or the weights are not there.
        InvalidArgumentError: the weights do not fit, or a parameter is malformed.
    """
    make = cast("Callable[[Model, Path | None], torch.nn.Module]", NETWORKS.load(model.network))
    weights = resolve(model.weights, root) if model.weights else None
    return make(model, weights).eval().requires_grad_(False)
