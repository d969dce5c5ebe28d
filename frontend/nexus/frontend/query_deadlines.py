"""When each stage of a query must be done, so that what follows it still can be.

A stage's deadline is the query's, less the largest sum of budgets downstream of it. It is counted
from the end: what an early stage saves, later stages may spend (slack flows), and parallel branches
cannot spend the same slack twice (nexus.md 1.4 tells how summing it per reply goes wrong).
"""

from collections.abc import Mapping

from nexus.core.names import StageName
from nexus.core.query import Query


def downstream_us(query: Query, budgets_us: Mapping[StageName, int]) -> dict[StageName, int]:
    """For each stage the largest sum of budgets on any path that begins after it."""
    after: dict[StageName, int] = {}
    for stage in reversed(query.stages):
        after[stage.name] = max(
            (budgets_us[child.name] + after[child.name] for child in query.children(stage.name)),
            default=0,
        )
    return after


def stage_deadlines_us(
    query: Query, budgets_us: Mapping[StageName, int], now_us: int, deadline_us: int
) -> dict[StageName, int]:
    """The absolute deadline of each stage.

    When the time left is less than the budgets add up to (the caller allowed less than the SLO, or
    the table is of another epoch), they all shrink in proportion.
    """
    after = downstream_us(query, budgets_us)
    path_us = max(budgets_us[root.name] + after[root.name] for root in query.roots)
    left_us = max(0, deadline_us - now_us)
    scale = min(1.0, left_us / path_us) if path_us else 1.0
    return {name: deadline_us - int(later_us * scale) for name, later_us in after.items()}


def expected_finish_us(query: Query, expected_us: Mapping[StageName, int], now_us: int) -> int:
    """When the whole query would be done, if each stage took what is expected of it now."""
    finish: dict[StageName, int] = {}
    for stage in query.stages:
        start_us = max((finish[parent] for parent in stage.after), default=now_us)
        finish[stage.name] = start_us + expected_us[stage.name]
    return max(finish.values())
