"""Text detection: where lines of text are in a frame.

For networks in the manner of Liao et al., "Real-time Scene Text Detection with Differentiable
Binarization", 2020: a map of how likely each pixel is the core of a line of text. The core is
shrunken, so a found box is grown again by the paper's offset, area * ratio / circumference, and
then by some more, because the recogniser was trained on lines with room around them.
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from nexus.core.finding import Finding, Region
from nexus.core.model import Model
from nexus.core.request import ItemResult
from nexus.core.tensor import Tensor
from nexus.zoo.components import components_of
from nexus.zoo.findings import require_finding_outputs, tensors_from_findings
from nexus.zoo.handler import Array, Sample, stack
from nexus.zoo.image import IMAGENET_MEAN, IMAGENET_SCALE, Crop, crops_of, planes
from nexus.zoo.letterbox import Letterbox, letterboxed, region_from
from nexus.zoo.parameters import fraction, integer

LABEL = "text"
FILL_GREY = 0
STRIDE = 32
SIDE_MAX = 1_920
PIXEL_THRESHOLD = 0.3
GROW_RATIO = 1.5
CORE_SIDE_MIN = 3
"""Cores thinner than this, in input pixels, are specks."""
LINES_MAX = 100


class TextDetector:
    """For networks that give a probability map [1, height, width].

    Parameters: ``width`` and ``height`` of the input (multiples of 32), ``threshold`` (least mean
    probability of a line), ``margin`` (room around a line, as a part of its height).
    """

    def __init__(self, model: Model) -> None:
        """Read the parameters; raise InvalidArgumentError when one is malformed."""
        self._width = integer(model, "width", 640, low=STRIDE, high=SIDE_MAX, multiple=STRIDE)
        self._height = integer(model, "height", 640, low=STRIDE, high=SIDE_MAX, multiple=STRIDE)
        self._threshold = fraction(model, "threshold", 0.5)
        self._margin = fraction(model, "margin", 0.2)
        self._outputs = require_finding_outputs(model)

    def preprocess(
        self, tensors: tuple[Tensor, ...], regions: tuple[Region, ...]
    ) -> tuple[Sample, ...]:
        """Letterbox each image or crop; see crops_of for what is refused."""
        return tuple(self._sample(crop) for crop in crops_of(tensors, regions))

    def collate(self, samples: tuple[Sample, ...]) -> tuple[Array, ...]:
        """[batch, 3, height, width]."""
        return stack(samples)

    def postprocess(
        self, outputs: tuple[Array, ...], samples: tuple[Sample, ...]
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        """Lines of text, surest first, all labelled ``text``."""
        items = tuple(
            ItemResult(self._findings(outputs[0][i, 0], cast("Letterbox", sample.context)))
            for i, sample in enumerate(samples)
        )
        return items, tensors_from_findings(items, self._outputs)

    def _sample(self, crop: Crop) -> Sample:
        pixels, letterbox = letterboxed(crop, self._width, self._height, FILL_GREY)
        return Sample((planes(pixels, IMAGENET_MEAN, IMAGENET_SCALE),), letterbox)

    def _findings(self, likely: NDArray[np.float32], letterbox: Letterbox) -> tuple[Finding, ...]:
        found = components_of(likely > PIXEL_THRESHOLD, likely)
        scores = found.weights / found.pixels
        sides = found.corners[:, 2:] - found.corners[:, :2]
        kept = np.nonzero((scores >= self._threshold) & (sides.min(axis=1) >= CORE_SIDE_MIN))[0]
        kept = kept[np.argsort(-scores[kept], kind="stable")[:LINES_MAX]]
        corners = letterbox.to_frame(self._grown(found.corners[kept]))
        return tuple(
            Finding(LABEL, float(scores[i]), region_from(box))
            for i, box in zip(kept, corners, strict=True)
        )

    def _grown(self, cores: NDArray[np.int64]) -> NDArray[np.float32]:
        sides = (cores[:, 2:] - cores[:, :2]).astype(np.float32)
        grow = GROW_RATIO * sides.prod(axis=1) / (2 * sides.sum(axis=1))
        grow += self._margin * (sides[:, 1] + 2 * grow)
        outwards = grow[:, None] * np.array((-1, -1, 1, 1), np.float32)
        grown: NDArray[np.float32] = cores.astype(np.float32) + outwards
        return grown
