"""Non-maximum suppression: of boxes that cover the same thing, the best-scored stays."""

import numpy as np
from numpy.typing import NDArray


def suppress(
    corners: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    overlap_max: float,
) -> NDArray[np.int64]:
    """Indices of the boxes to keep, best first.

    Greedy by score; a box falls when a kept box of the same class overlaps it by more than
    ``overlap_max`` (intersection over union).

    Args:
        corners: [n, 4] as x1, y1, x2, y2.
        scores: [n].
        classes: [n] class numbers.
        overlap_max: In 0..1.
    """
    order = np.argsort(-scores, kind="stable")
    rivals = overlaps(corners[order]) > overlap_max
    rivals &= classes[order][:, None] == classes[order][None, :]
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~rivals[i, i + 1 :]
    return order[alive]


def overlaps(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of all pairs, [n, n]; 0 where both boxes are empty."""
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = np.clip(corners[:, 2:] - corners[:, :2], 0, None).prod(axis=1)
    union = areas[:, None] + areas[None, :] - common
    result: NDArray[np.float32] = common / np.maximum(union, np.finfo(np.float32).tiny)
    return result
