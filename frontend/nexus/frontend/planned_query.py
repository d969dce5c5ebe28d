"""A declared query as the table in use serves it: what is the same for all of its frames."""

from collections.abc import Mapping
from dataclasses import dataclass

from nexus.core.names import SessionName, stage_session_name
from nexus.core.query import Query, Stage
from nexus.frontend.query_deadlines import StageBudgets
from nexus.frontend.session_dispatcher import SessionDispatcher


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage, its session, and where that goes: None when the table does not name it."""

    stage: Stage
    session: SessionName
    dispatcher: SessionDispatcher | None

    @property
    def budget_us(self) -> int:
        """What the table gives it; 0 when it does not name it."""
        return self.dispatcher.slo_us if self.dispatcher else 0


class PlannedQuery:
    """``stages`` are in topological order, ``roots`` those of them that run on the frame."""

    def __init__(self, query: Query, dispatchers: Mapping[SessionName, SessionDispatcher]) -> None:
        """Find the stages among the ``dispatchers`` of the table."""
        self.query = query
        self.stages = tuple(_planned(query, stage, dispatchers) for stage in query.stages)
        self.roots = tuple(entry for entry in self.stages if not entry.stage.after)
        budgets_us = {entry.stage.name: entry.budget_us for entry in self.stages}
        self.budgets = StageBudgets(query, budgets_us)


def _planned(
    query: Query, stage: Stage, dispatchers: Mapping[SessionName, SessionDispatcher]
) -> PlannedStage:
    session = stage_session_name(query.name, stage.name)
    return PlannedStage(stage, session, dispatchers.get(session))
