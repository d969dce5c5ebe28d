"""Fitting a crop into a fixed input size with its proportions kept, and finding the way back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nexus.core.finding import Region
from nexus.zoo.image import Crop, Pixels


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a crop lies in an input: ``scale`` input pixels a frame pixel, margins left and top."""

    region: Region
    scale_x: float
    scale_y: float
    left: int
    top: int

    def to_frame(self, corners: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes [n, 4] (x1, y1, x2, y2) from input pixels to frame pixels, clipped to the crop."""
        region = self.region
        offset = np.array((self.left, self.top) * 2, np.float32)
        scale = np.array((self.scale_x, self.scale_y) * 2, np.float32)
        origin = np.array((region.x, region.y) * 2, np.float32)
        limit = np.array((region.width, region.height) * 2, np.float32)
        inside: NDArray[np.float32] = np.clip((corners - offset) / scale, 0, limit)
        return inside + origin


def letterboxed(crop: Crop, width: int, height: int, fill: int) -> tuple[Pixels, Letterbox]:
    """The crop in the middle of a [height, width, 3] input, bars of grey ``fill`` around it."""
    region = crop.region
    scale = min(width / region.width, height / region.height)
    inner_width = min(max(round(region.width * scale), 1), width)
    inner_height = min(max(round(region.height * scale), 1), height)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    canvas = np.full((height, width, 3), fill, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = crop.resized(
        inner_width, inner_height
    )
    # The rounded size is a little off the scale; boxes go back by what was really done.
    scales = inner_width / region.width, inner_height / region.height
    return canvas, Letterbox(region, *scales, left, top)


def region_from(corners: NDArray[np.float32]) -> Region:
    """One box (x1, y1, x2, y2) as whole pixels, at least one pixel wide and high."""
    x1, y1, x2, y2 = (float(value) for value in corners)
    x, y = int(x1), int(y1)
    return Region(x, y, max(round(x2) - x, 1), max(round(y2) - y, 1))
