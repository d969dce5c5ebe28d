"""Object detection: a letterboxed frame in, labelled boxes in frame pixels out."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from nexus.core.finding import Finding, Region
from nexus.core.model import Model
from nexus.core.request import ItemResult
from nexus.core.tensor import Tensor
from nexus.zoo.findings import require_finding_outputs, tensors_from_findings
from nexus.zoo.handler import Array, Sample, stack
from nexus.zoo.image import Crop, crops_of, planes
from nexus.zoo.labels import read_labels
from nexus.zoo.letterbox import Letterbox, letterboxed, region_from
from nexus.zoo.parameters import fraction, integer
from nexus.zoo.suppression import suppress

FILL_GREY = 127
CANDIDATES_MAX = 300
"""Boxes that enter suppression, best first; the rest of a crowded frame is left out."""
SIDE_MAX = 1_920
STRIDE = 32


class YoloDetector:
    """For networks that give boxes [n, 4] (centre, size in input pixels) and scores [n, 80].

    Parameters: ``width`` and ``height`` of the input (multiples of 32), ``threshold`` (least
    score), ``overlap`` (of boxes of one class).
    """

    def __init__(self, model: Model) -> None:
        """Read the parameters; raise InvalidArgumentError when one is malformed."""
        self._width = integer(model, "width", 416, low=STRIDE, high=SIDE_MAX, multiple=STRIDE)
        self._height = integer(model, "height", 416, low=STRIDE, high=SIDE_MAX, multiple=STRIDE)
        self._threshold = fraction(model, "threshold", 0.25)
        self._overlap = fraction(model, "overlap", 0.45)
        self._outputs = require_finding_outputs(model)
        self._labels = read_labels("coco")

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
        """Objects, best first."""
        boxes, scores = outputs
        items = tuple(
            ItemResult(self._findings(boxes[i], scores[i], cast("Letterbox", sample.context)))
            for i, sample in enumerate(samples)
        )
        return items, tensors_from_findings(items, self._outputs)

    def _sample(self, crop: Crop) -> Sample:
        pixels, letterbox = letterboxed(crop, self._width, self._height, FILL_GREY)
        return Sample((planes(pixels, 0.0, 1 / 255),), letterbox)

    def _findings(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], letterbox: Letterbox
    ) -> tuple[Finding, ...]:
        best = scores.max(axis=1)
        chosen = np.nonzero(best >= self._threshold)[0]
        chosen = chosen[np.argsort(-best[chosen], kind="stable")[:CANDIDATES_MAX]]
        centres, halves = boxes[chosen, :2], boxes[chosen, 2:] / 2
        corners = letterbox.to_frame(np.concatenate((centres - halves, centres + halves), axis=1))
        classes = scores[chosen].argmax(axis=1)
        kept = suppress(corners, best[chosen], classes, self._overlap)
        return tuple(
            Finding(self._labels[int(classes[i])], float(best[chosen[i]]), region_from(corners[i]))
            for i in kept
        )
