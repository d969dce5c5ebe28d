"""YOLOv3-tiny: the small object detector, trained on the 80 classes of COCO.

Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018; layers as in darknet's
yolov3-tiny.cfg. It predicts on two grids, 32 and 16 pixels a cell, with three anchor boxes a cell.
Fully convolutional: any input whose sides are multiples of 32.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from nexus.core.model import Model
from nexus.zoo.convolution import for_inference, unit
from nexus.zoo.darknet import load_darknet

CLASSES = 80
STRIDE = 32
"""Sides of the input must be multiples of this."""
ANCHORS_COARSE = ((81.0, 82.0), (135.0, 169.0), (344.0, 319.0))
ANCHORS_FINE = ((23.0, 27.0), (37.0, 58.0), (81.0, 82.0))
"""Not the (10, 14), (23, 27), (37, 58) that yolov3-tiny.cfg says now: the published weights were
trained with these, and with the others every small box comes out shrunken."""
CHANNELS = (16, 32, 64, 128, 256)


class YoloV3Tiny(nn.Module):
    """Images [batch, 3, height, width] in 0..1 to boxes and class scores of every anchor."""

    def __init__(self) -> None:
        """Random weights; ``build`` loads them."""
        super().__init__()
        sizes = zip((3, *CHANNELS), CHANNELS, strict=False)
        self.backbone = nn.ModuleList(_layer(i, o) for i, o in sizes)
        self.deep = nn.ModuleList((_layer(256, 512), _layer(512, 1024), _layer(1024, 256, 1)))
        self.coarse = nn.ModuleList((_layer(256, 512), _head(512)))
        self.lateral = _layer(256, 128, 1)
        self.fine = nn.ModuleList((_layer(128 + 256, 256), _head(256)))
        self.coarse_grid = Grid(ANCHORS_COARSE)
        self.fine_grid = Grid(ANCHORS_FINE)

    @property
    def layers_in_file_order(self) -> list[nn.Sequential]:
        """All convolutions as darknet's weight file has them."""
        layers = [*self.backbone, *self.deep, *self.coarse, self.lateral, *self.fine]
        return [layer for layer in layers if isinstance(layer, nn.Sequential)]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [batch, n, 4] (centre x, y, width, height in input pixels), scores [batch, n, 80].

        n is 3 * (cells of both grids); a score is objectness times class probability.
        """
        size = images.shape[-2:]
        features = images
        for layer in self.backbone:
            route = layer(features)
            features = functional.max_pool2d(route, 2)
        features = self.deep[0](features)
        # Darknet's pooling of stride 1 keeps the size: it looks one past the right and lower edge.
        features = functional.pad(features, (0, 1, 0, 1), value=-torch.inf)
        features = functional.max_pool2d(features, 2, stride=1)
        features = self.deep[2](self.deep[1](features))
        coarse = self.coarse_grid(self.coarse[1](self.coarse[0](features)), size)
        wide = functional.interpolate(self.lateral(features), scale_factor=2.0)
        joined = torch.cat((wide, route), dim=1)
        fine = self.fine_grid(self.fine[1](self.fine[0](joined)), size)
        boxes, scores = (torch.cat(pair, dim=1) for pair in zip(coarse, fine, strict=True))
        return boxes, scores


class Grid(nn.Module):
    """Turns one head's raw map into boxes and scores."""

    anchors: Tensor

    def __init__(self, anchors: tuple[tuple[float, float], ...]) -> None:
        """Anchors are (width, height) in input pixels."""
        super().__init__()
        self.register_buffer("anchors", torch.tensor(anchors), persistent=False)

    def forward(self, raw: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """[batch, 3 * 85, rows, columns] to boxes [batch, n, 4] and scores [batch, n, 80]."""
        batch, _, rows, columns = raw.shape
        raw = raw.view(batch, len(self.anchors), 5 + CLASSES, rows, columns)
        raw = raw.permute(0, 3, 4, 1, 2)
        y, x = torch.meshgrid(
            torch.arange(rows, device=raw.device),
            torch.arange(columns, device=raw.device),
            indexing="ij",
        )
        cells = torch.stack((x, y), dim=-1)[:, :, None, :]
        centres = (raw[..., :2].sigmoid() + cells) * (size[1] / columns)
        sides = raw[..., 2:4].exp() * self.anchors
        scores = raw[..., 5:].sigmoid() * raw[..., 4:5].sigmoid()
        boxes = torch.cat((centres, sides), dim=-1)
        return boxes.flatten(1, 3), scores.flatten(1, 3)


def build(model: Model, weights: Path | None) -> nn.Module:  # noqa: ARG001 - the common signature
    """The network with darknet weights (random ones without a file)."""
    network = YoloV3Tiny()
    if weights:
        load_darknet(network.layers_in_file_order, weights)
    return for_inference(network)


def _layer(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return unit(inputs, outputs, kernel, activation=nn.LeakyReLU(0.1, inplace=True))


def _head(inputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, 3 * (5 + CLASSES), 1)
    return nn.Sequential(OrderedDict((("conv", conv),)))
