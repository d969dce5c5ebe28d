"""Suppression and connected components, each against a plain slow version."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from nexus.zoo.components import components_of
from nexus.zoo.suppression import overlaps, suppress

BOX = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 12), st.integers(0, 12)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


def slow_overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = sum(areas) - width * height
    return width * height / union if union else 0.0


@given(st.lists(st.tuples(BOX, st.integers(0, 9), st.integers(0, 1)), max_size=12))
def test_suppression_equals_the_slow_version(
    found: list[tuple[tuple[int, int, int, int], int, int]],
) -> None:
    kept: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: -found[i][1]):
        if all(
            found[i][2] != found[j][2] or slow_overlap(found[i][0], found[j][0]) <= 0.4
            for j in kept
        ):
            kept.append(i)
    corners = np.array([box for box, _, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in found], np.float32)
    classes = np.array([kind for _, _, kind in found], np.int64)
    assert suppress(corners, scores, classes, 0.4).tolist() == kept


def test_suppression_overlap_of_known_boxes() -> None:
    corners = np.array([(0, 0, 2, 2), (1, 0, 3, 2), (5, 5, 5, 5)], np.float32)
    np.testing.assert_allclose(overlaps(corners)[0], (1, 1 / 3, 0), rtol=1e-6)


def slow_components(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> set[frozenset[int]]:
    height, width = mask.shape
    left = {(y, x) for y in range(height) for x in range(width) if mask[y, x]}
    result = set()
    while left:
        stack, component = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            component.add(y * width + x)
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            stack.extend(near)
        result.add(frozenset(component))
    return result


@given(
    numpy_strategies.arrays(
        np.bool_, numpy_strategies.array_shapes(min_dims=2, max_dims=2, max_side=9)
    )
)
def test_components_equal_the_slow_version(
    mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> None:
    weights = np.arange(mask.size, dtype=np.float32).reshape(mask.shape)
    found = components_of(mask, weights)
    expected = set()
    for component in slow_components(mask):
        ys, xs = np.divmod(np.array(sorted(component)), mask.shape[1])
        box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        expected.add((*(int(v) for v in box), len(component), float(sum(component))))
    assert {
        (*corners, pixels, total)
        for corners, pixels, total in zip(
            found.corners.tolist(), found.pixels.tolist(), found.weights.tolist(), strict=True
        )
    } == expected
    assert len(found.pixels) == len(expected)


def test_components_of_an_empty_mask_are_none() -> None:
    assert len(components_of(np.zeros((4, 5), bool), np.zeros((4, 5), np.float32)).pixels) == 0
