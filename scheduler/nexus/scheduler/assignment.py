"""The assignment problem: each row to a column of its own, at the least total cost.

``assign`` is exact (the Hungarian method, shortest augmenting paths), O(rows^2 x columns). A large
cluster takes the pairs that gain most first instead (needs.py).
"""

import math
from collections.abc import Sequence

EXACT_STEPS_MAX = 500_000
"""rows^2 x columns up to which the exact method takes well under a second."""


def is_small(rows: int, columns: int) -> bool:
    """Whether ``assign`` is quick."""
    return rows * rows * columns <= EXACT_STEPS_MAX


def assign(costs: Sequence[Sequence[float]]) -> list[int]:
    """The column of each row; there must be at least as many columns as rows."""
    if not costs:
        return []
    assert len(costs) <= len(costs[0]), (len(costs), len(costs[0]))
    # Rows are added one by one; row_of[0] is the row being added, columns count from 1.
    width = len(costs[0])
    row_price, column_price = [0.0] * (len(costs) + 1), [0.0] * (width + 1)
    row_of = [0] * (width + 1)
    for row in range(1, len(costs) + 1):
        row_of[0] = row
        path = _shortest_path(costs, row_of, row_price, column_price)
        for column, previous in path:
            row_of[column] = row_of[previous]
    columns = [0] * len(costs)
    for column in range(1, width + 1):
        if row_of[column]:
            columns[row_of[column] - 1] = column - 1
    return columns


def _shortest_path(
    costs: Sequence[Sequence[float]],
    row_of: list[int],
    row_price: list[float],
    column_price: list[float],
) -> list[tuple[int, int]]:
    """The columns to shift along, from a free one back to the new row; prices are updated."""
    width = len(costs[0])
    distance, previous = [math.inf] * (width + 1), [0] * (width + 1)
    visited = [False] * (width + 1)
    at = 0
    while True:
        visited[at] = True
        row = row_of[at]
        nearest, step = 0, math.inf
        for column in range(1, width + 1):
            if visited[column]:
                continue
            reduced = costs[row - 1][column - 1] - row_price[row] - column_price[column]
            if reduced < distance[column]:
                distance[column], previous[column] = reduced, at
            if distance[column] < step:
                nearest, step = column, distance[column]
        for column in range(width + 1):
            if visited[column]:
                row_price[row_of[column]] += step
                column_price[column] -= step
            else:
                distance[column] -= step
        at = nearest
        if row_of[at] == 0:
            break
    path = []
    while at:
        path.append((at, previous[at]))
        at = previous[at]
    return path
