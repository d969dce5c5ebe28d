"""What an emulated detector finds: as many objects of each label as declared, on average.

``Model.parameters["emulated_findings"] = "person:2.5,car:1"`` gives two or three persons and one
car an item. The draw depends on nothing but the dispatch and its payload, so a rerun sees the same.
"""

import math
import random
import zlib
from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError
from nexus.core.finding import Finding, Region
from nexus.core.model import Model
from nexus.core.request import Dispatch, ItemResult
from nexus.core.tensor import Tensor

PARAMETER = "emulated_findings"
MEAN_MAX = 64.0
REGION_PIXELS = 32
FRAME_PIXELS = 256
"""Regions lie in the top left corner of this size, whatever the frame's: nothing is cropped."""


@dataclass(frozen=True, slots=True)
class EmulatedFindings:
    """The mean number of findings of each label in one item."""

    means: tuple[tuple[str, float], ...]

    def draw(self, dispatch: Dispatch, tensors: tuple[Tensor, ...]) -> tuple[ItemResult, ...]:
        """The findings of every item of a dispatch."""
        payload = zlib.crc32(tensors[0].content) if tensors else 0
        chance = random.Random(dispatch.id << 32 | payload)  # noqa: S311 - not secrets
        return tuple(ItemResult(self._item(chance)) for _ in range(dispatch.items))

    def _item(self, chance: random.Random) -> tuple[Finding, ...]:
        return tuple(
            Finding(label, 0.5 + chance.random() / 2, _region(chance))
            for label, mean in self.means
            for _ in range(math.floor(mean) + (chance.random() < mean % 1))
        )


def findings_of(model: Model) -> EmulatedFindings | None:
    """What the model's parameters say; None when they say nothing.

    Raises:
        InvalidArgumentError: not a comma list of LABEL:MEAN with means in 0..64.
    """
    text = model.parameters.get(PARAMETER)
    if text is None:
        return None
    return EmulatedFindings(tuple(_mean(model.name, part) for part in text.split(",")))


def _mean(model: str, part: str) -> tuple[str, float]:
    label, _, number = part.strip().rpartition(":")
    try:
        mean = float(number)
    except ValueError:
        mean = math.nan
    if not label or not 0 <= mean <= MEAN_MAX:
        raise InvalidArgumentError(
            f"model {model!r}: {PARAMETER} has {part!r}, which is not LABEL:MEAN with a mean in "
            f"0..{MEAN_MAX:g}",
            reason="invalid_model",
        )
    return label, mean


def _region(chance: random.Random) -> Region:
    corner = FRAME_PIXELS - REGION_PIXELS
    x, y = chance.randrange(corner), chance.randrange(corner)
    return Region(x, y, REGION_PIXELS, REGION_PIXELS)
