"""The assignment problem: each row to a column of its own, at the least total cost.

The Hungarian method (shortest augmenting paths, O(rows^2 x columns)); beyond its size limit,
greedily by rising cost, which is what a large cluster needs at a fraction of the time.
"""

import math
from collections.abc import Sequence

EXACT_ROWS_MAX = 64


def assign(costs: Sequence[Sequence[float]]) -> list[int]:
    """The column of each row; there must be at least as many columns as rows."""
    if not costs:
        return []
    assert len(costs) <= len(costs[0]), (len(costs), len(costs[0]))
    return _hungarian(costs) if len(costs) <= EXACT_ROWS_MAX else _greedy(costs)


def _greedy(costs: Sequence[Sequence[float]]) -> list[int]:
    pairs = sorted(
        (cost, row, column) for row, line in enumerate(costs) for column, cost in enumerate(line)
    )
    columns: dict[int, int] = {}
    taken: set[int] = set()
    for _, row, column in pairs:
        if row not in columns and column not in taken:
            columns[row] = column
            taken.add(column)
    return [columns[row] for row in range(len(costs))]


def _hungarian(costs: Sequence[Sequence[float]]) -> list[int]:
    """Rows are added one by one; ``row_of[0]`` is the row being added, columns count from 1."""
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
