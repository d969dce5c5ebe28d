"""Image classification: the likeliest ImageNet classes of an image or a crop."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from nexus.core.finding import Finding, Region
from nexus.core.model import Model
from nexus.core.request import ItemResult
from nexus.core.tensor import Tensor
from nexus.zoo.findings import require_finding_outputs, tensors_from_findings
from nexus.zoo.handler import Array, Sample, stack
from nexus.zoo.image import crops_of, planes
from nexus.zoo.labels import read_labels
from nexus.zoo.parameters import integer
from nexus.zoo.softmax import softmax

SIDE = 224
PIXEL_MEAN = 127.0
PIXEL_SCALE = 1 / 128
TOP_MAX = 100


class ImageClassifier:
    """For networks that give logits [1000]; parameter ``top``: how many classes to report."""

    def __init__(self, model: Model) -> None:
        """Read the parameters; raise InvalidArgumentError when one is malformed."""
        self._top = integer(model, "top", 1, low=1, high=TOP_MAX)
        self._outputs = require_finding_outputs(model)
        self._labels = read_labels("imagenet")

    def preprocess(
        self, tensors: tuple[Tensor, ...], regions: tuple[Region, ...]
    ) -> tuple[Sample, ...]:
        """Stretch each image or crop to 224x224; see crops_of for what is refused."""
        return tuple(
            Sample((planes(crop.resized(SIDE, SIDE), PIXEL_MEAN, PIXEL_SCALE),), crop.region)
            for crop in crops_of(tensors, regions)
        )

    def collate(self, samples: tuple[Sample, ...]) -> tuple[Array, ...]:
        """[batch, 3, 224, 224]."""
        return stack(samples)

    def postprocess(
        self, outputs: tuple[Array, ...], samples: tuple[Sample, ...]
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        """The ``top`` classes, likeliest first, each with the crop that was looked at."""
        items = tuple(
            ItemResult(self._findings(row, cast("Region", sample.context)))
            for row, sample in zip(softmax(outputs[0]), samples, strict=True)
        )
        return items, tensors_from_findings(items, self._outputs)

    def _findings(self, probabilities: NDArray[np.float32], region: Region) -> tuple[Finding, ...]:
        best = np.argsort(-probabilities, kind="stable")[: self._top]
        return tuple(Finding(self._labels[int(i)], float(probabilities[i]), region) for i in best)
