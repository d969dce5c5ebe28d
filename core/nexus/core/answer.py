"""What a query answers: the outcome of the whole, and what each stage found out and took."""

from dataclasses import dataclass

from nexus.core.finding import Region
from nexus.core.names import StageName
from nexus.core.request import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """One stage of one request.

    ``outcome.items`` has one entry an item; ``regions`` says which crop each item looked at, and is
    empty when the stage looks at the whole frame. ``latency_us`` runs from the moment the stage's
    inputs were there to its result. ``skipped_items`` were beyond the stage's ``fan_out_max`` and
    never sent; ``failed_items`` were sent and gave nothing.
    """

    stage: StageName
    outcome: Outcome
    regions: tuple[Region, ...] = ()
    budget_us: int = 0
    latency_us: int = 0
    skipped_items: int = 0
    failed_items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """The answer to one frame.

    ``outcome`` is about the whole and holds no results; ``stages`` are in topological order, those
    never reached left out. ``latency_us`` runs from arrival at the frontend to the answer.
    """

    outcome: Outcome
    stages: tuple[StageResult, ...] = ()
    latency_us: int = 0
    request_id: str = ""
    stream_id: str = ""
    frame_id: int = 0

    def stage(self, name: str) -> StageResult | None:
        """The result of a stage, or None when it was not reached."""
        for result in self.stages:
            if result.stage == name:
                return result
        return None
