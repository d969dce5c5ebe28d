"""Connected components of a mask in numpy: runs of set pixels in rows, joined where they touch.

A mask of a text detector has a few hundred runs, not a hundred thousand pixels, so the union-find
over runs costs a fraction of a millisecond.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Components:
    """For each component: its bounding box [n, 4] (x1, y1, x2, y2), pixels and sum of weights."""

    corners: NDArray[np.int64]
    pixels: NDArray[np.int64]
    weights: NDArray[np.float64]


def components_of(mask: NDArray[np.bool_], weights: NDArray[np.float32]) -> Components:
    """The 8-connected components of ``mask``; ``weights`` (same shape) are summed over each."""
    occupied = np.flatnonzero(mask.any(axis=1))  # text fills few rows: the others cost nothing
    lines, starts, ends = _runs(mask[occupied])
    sums = _run_sums(weights[occupied], lines, starts, ends)
    rows = occupied[lines]
    labels, count = _joined(rows, starts, ends)
    corners = np.empty((count, 4), np.int64)
    corners[:, :2] = np.iinfo(np.int64).max
    corners[:, 2:] = 0
    np.minimum.at(corners[:, 0], labels, starts)
    np.minimum.at(corners[:, 1], labels, rows)
    np.maximum.at(corners[:, 2], labels, ends)
    np.maximum.at(corners[:, 3], labels, rows + 1)
    return Components(
        corners=corners,
        pixels=np.bincount(labels, ends - starts, minlength=count).astype(np.int64),
        weights=np.bincount(labels, sums, minlength=count).astype(np.float64),
    )


def _runs(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, first column and one past the last column of every run, in reading order."""
    edges = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    edges[:, 1:-1] = mask
    steps = np.diff(edges, axis=1)
    rows, starts = np.nonzero(steps == 1)
    _, ends = np.nonzero(steps == -1)
    return rows, starts, ends


def _joined(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """A label 0..count-1 for every run, equal where runs are connected."""
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    for upper, lower in _touching(rows, starts, ends):
        parents[root(lower)] = root(upper)
    roots = np.array([root(run) for run in range(len(rows))], np.int64)
    names, labels = np.unique(roots, return_inverse=True)
    return labels.astype(np.int64), len(names)


def _touching(
    rows: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Pairs of runs in neighbouring rows that share a side or a corner."""
    pairs = []
    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))
    first = 0
    for lower, (row, start, end) in enumerate(runs):
        # A run above that ends left of this one ends left of every later run of the row too.
        while runs[first][0] < row - 1 or (runs[first][0] == row - 1 and runs[first][2] < start):
            first += 1
        upper = first
        while runs[upper][0] == row - 1 and runs[upper][1] <= end:
            pairs.append((upper, lower))
            upper += 1
    return pairs


def _run_sums(
    weights: NDArray[np.float32],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.float64]:
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, dtype=np.float64, out=sums[:, 1:])
    return sums[rows, ends] - sums[rows, starts]
