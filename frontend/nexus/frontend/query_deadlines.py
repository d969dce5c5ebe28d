"""When each stage of a query must be done, so that what follows it still can be.

A stage's deadline is the query's, less the largest sum of budgets downstream of it. It is counted
from the end: what an early stage saves, later stages may spend (slack flows), and parallel branches
cannot spend the same slack twice (nexus.md 1.4 tells how summing it per reply goes wrong).
"""

from collections.abc import Mapping

from nexus.core.names import StageName
from nexus.core.query import Query


class StageBudgets:
    """``budgets_us`` is how long each stage may take, ``downstream_us`` what follows it.

    That is the largest sum of budgets on any path that begins after the stage.
    """

    def __init__(self, query: Query, budgets_us: Mapping[StageName, int]) -> None:
        """Every stage of ``query`` has a budget."""
        self.budgets_us = budgets_us
        self.downstream_us: dict[StageName, int] = {}
        for stage in reversed(query.stages):
            self.downstream_us[stage.name] = max(
                (self._from_us(child.name) for child in query.children(stage.name)), default=0
            )
        self._path_us = max(self._from_us(root.name) for root in query.roots)

    def deadlines_us(self, now_us: int, deadline_us: int) -> dict[StageName, int]:
        """The absolute deadline of each stage of a query that is due at ``deadline_us``.

        When the time left is less than the budgets add up to (the caller allowed less than the SLO,
        or the table is of another epoch), they all shrink in proportion.
        """
        left_us = max(0, deadline_us - now_us)
        scale = min(1.0, left_us / self._path_us) if self._path_us else 1.0
        return {
            name: deadline_us - int(later_us * scale)
            for name, later_us in self.downstream_us.items()
        }

    def _from_us(self, stage: StageName) -> int:
        return self.budgets_us[stage] + self.downstream_us[stage]


def expected_finish_us(query: Query, expected_us: Mapping[StageName, int], now_us: int) -> int:
    """When the whole query would be done, if each stage took what is expected of it now."""
    finish: dict[StageName, int] = {}
    for stage in query.stages:
        start_us = max((finish[parent] for parent in stage.after), default=now_us)
        finish[stage.name] = start_us + expected_us[stage.name]
    return max(finish.values())
