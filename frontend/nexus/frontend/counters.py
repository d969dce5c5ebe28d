"""What a frontend saw since it started, as it reports it: counters that only grow."""

from collections import Counter

from nexus.core.cluster import StageCount
from nexus.core.names import QueryName, SessionName, StageName
from nexus.core.query import Per
from nexus.frontend.planned_query import PlannedQuery

# Below this many calls of its parents a stage's measured fan-out says nothing yet.
_PARENT_CALLS_MIN = 20


class ArrivalCounters:
    """Items offered per session, refused ones included: the planner must see the demand."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._arrivals: Counter[str] = Counter()
        self._calls: Counter[SessionName] = Counter()
        self._parent_calls: Counter[SessionName] = Counter()

    def request(self, session: SessionName, items: int) -> None:
        """A request of ``items`` was offered to a session."""
        self._arrivals[session] += items

    def frame(self, query: QueryName) -> None:
        """A frame was offered to a query."""
        self._arrivals[query] += 1

    def stage(self, session: SessionName, calls: int, parent_calls: int) -> None:
        """A stage was called ``calls`` times after ``parent_calls`` calls of its parents."""
        self._arrivals[session] += calls
        self._calls[session] += calls
        self._parent_calls[session] += parent_calls

    @property
    def arrivals(self) -> dict[str, int]:
        """By session, and by query (frames)."""
        return dict(self._arrivals)

    @property
    def stages(self) -> dict[SessionName, StageCount]:
        """Fan-out, by stage session."""
        return {
            session: StageCount(self._calls[session], parent_calls)
            for session, parent_calls in self._parent_calls.items()
        }

    def expected_calls(self, planned: PlannedQuery) -> dict[StageName, float]:
        """Calls of each stage that one frame is expected to cause, by measured fan-out."""
        calls: dict[StageName, float] = {}
        for entry in planned.stages:
            stage = entry.stage
            if stage.per is Per.FRAME:
                calls[stage.name] = 1.0
                continue
            parent_calls = self._parent_calls[entry.session]
            measured = parent_calls >= _PARENT_CALLS_MIN
            fan_out = self._calls[entry.session] / parent_calls if measured else stage.fan_out
            calls[stage.name] = sum([calls[parent] for parent in stage.after]) * fan_out
        return calls
