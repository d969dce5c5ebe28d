"""Text recognition: a crop of one line in, its characters out.

The width is fixed (parameter ``width``), shorter lines being padded with white, so that a batch of
b lines costs the same whatever is written on them: the plan counts on l(b).
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from nexus.core.finding import Finding, Region
from nexus.core.model import Model
from nexus.core.request import ItemResult
from nexus.core.tensor import Tensor
from nexus.zoo.alphabet import ALPHABET, BLANK
from nexus.zoo.findings import require_finding_outputs, tensors_from_findings
from nexus.zoo.handler import Array, Sample, stack
from nexus.zoo.image import Crop, Pixels, crops_of
from nexus.zoo.parameters import integer
from nexus.zoo.softmax import softmax

LINE_HEIGHT = 32
WIDTH_MAX = 1_280
MIDDLE_GREY = 127.5
WHITE = 255


class TextRecognizer:
    """For networks that give logits [steps, alphabet + 1] with CTC's blank as class 0."""

    def __init__(self, model: Model) -> None:
        """Read the parameters; raise InvalidArgumentError when one is malformed."""
        self._width = integer(model, "width", 320, low=32, high=WIDTH_MAX, multiple=4)
        self._outputs = require_finding_outputs(model)

    def preprocess(
        self, tensors: tuple[Tensor, ...], regions: tuple[Region, ...]
    ) -> tuple[Sample, ...]:
        """Dark text on white, 32 pixels high; see crops_of for what is refused."""
        return tuple(
            Sample((self._line(crop),), crop.region)
            for crop in crops_of(tensors, regions, mode="L")
        )

    def collate(self, samples: tuple[Sample, ...]) -> tuple[Array, ...]:
        """[batch, 1, 32, width]."""
        return stack(samples)

    def postprocess(
        self, outputs: tuple[Array, ...], samples: tuple[Sample, ...]
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        """One finding an item: the text, and how sure its characters are on average."""
        items = tuple(
            ItemResult((_finding(row, cast("Region", sample.context)),))
            for row, sample in zip(softmax(outputs[0]), samples, strict=True)
        )
        return items, tensors_from_findings(items, self._outputs)

    def _line(self, crop: Crop) -> NDArray[np.float32]:
        proportional = round(crop.region.width * LINE_HEIGHT / crop.region.height)
        width = min(max(proportional, 1), self._width)
        pixels = dark_on_light(crop.resized(width, LINE_HEIGHT))
        line = np.full((1, LINE_HEIGHT, self._width), WHITE, np.float32)
        line[0, :, :width] = pixels
        return line / np.float32(MIDDLE_GREY) - np.float32(1)


def dark_on_light(pixels: Pixels) -> Pixels:
    """Inverted where the text is lighter than its ground, which is what most pixels show."""
    return WHITE - pixels if pixels.mean() < MIDDLE_GREY else pixels


def read_greedily(probabilities: NDArray[np.float32]) -> tuple[str, float]:
    """CTC's best path: the likeliest class of each step, repeats merged, blanks left out.

    Returns the text, and the mean probability of its characters (0 for no text).
    """
    best = probabilities.argmax(axis=1)
    changed = np.concatenate(((True,), best[1:] != best[:-1]))
    kept = np.nonzero(changed & (best != BLANK))[0]
    text = "".join(ALPHABET[best[i] - 1] for i in kept)
    return text, float(probabilities[kept, best[kept]].mean()) if len(kept) else 0.0


def _finding(probabilities: NDArray[np.float32], region: Region) -> Finding:
    text, score = read_greedily(probabilities)
    return Finding(text, score, region)
