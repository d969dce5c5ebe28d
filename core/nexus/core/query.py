"""A Query: a DAG of stages with one SLO for the whole.

A stage runs on the frame, or once for each finding of its parent that it is interested in. Trees
and fork-joins are allowed: a stage with several parents is a join and runs when all of them have
finished.
"""

from dataclasses import dataclass
from enum import Enum

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import ModelName, QueryName, StageName, require_name
from nexus.core.session import require_rate, require_slo

STAGES_MAX = 32
FAN_OUT_MAX = 64


class Per(Enum):
    """What one call of a stage looks at."""

    FRAME = "frame"
    FINDING = "finding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a query.

    ``each`` lists the labels of parent findings that lead to a call (empty: every finding);
    ``fan_out`` is the expected number of calls per call of the parent, used until it is measured;
    ``fan_out_max`` bounds the crops taken from one parent call: the best-scored are kept, the
    others are counted as skipped.
    """

    name: StageName
    model: ModelName
    after: tuple[StageName, ...] = ()
    per: Per | None = None
    each: tuple[str, ...] = ()
    min_score: float = 0.0
    fan_out: float = 1.0
    fan_out_max: int = 16

    def __post_init__(self) -> None:
        """Default ``per``; raise InvalidArgumentError on values out of range."""
        require_name("stage", self.name)
        if self.per is None:
            object.__setattr__(self, "per", Per.FINDING if self.after else Per.FRAME)
        if self.per is Per.FINDING and not self.after:
            raise InvalidArgumentError(
                f"stage {self.name!r}: per: finding needs a parent in 'after'",
                reason="invalid_query",
            )
        require_rate(f"stage {self.name!r}: fan_out", self.fan_out)
        if not 1 <= self.fan_out_max <= FAN_OUT_MAX:
            raise InvalidArgumentError(
                f"stage {self.name!r}: fan_out_max {self.fan_out_max} is not in 1..{FAN_OUT_MAX}",
                reason="invalid_query",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A named DAG of stages, kept in topological order (parents first).

    ``expected_rate`` (frames/s) and ``arrives_evenly`` are of its frames, as those of a session.
    """

    name: QueryName
    slo_us: int
    stages: tuple[Stage, ...]
    expected_rate: float = 0.0
    arrives_evenly: bool = False

    def __post_init__(self) -> None:
        """Sort the stages; raise InvalidArgumentError on a cycle or an unknown parent."""
        require_name("query", self.name)
        require_slo(f"query {self.name!r}", self.slo_us)
        require_rate(f"query {self.name!r}", self.expected_rate)
        if not 1 <= len(self.stages) <= STAGES_MAX:
            raise InvalidArgumentError(
                f"query {self.name!r} has {len(self.stages)} stages; 1..{STAGES_MAX} are allowed",
                reason="invalid_query",
            )
        object.__setattr__(self, "stages", _topological(self.name, self.stages))

    def stage(self, name: str) -> Stage:
        """The stage of that name; KeyError when there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def children(self, name: str) -> tuple[Stage, ...]:
        """The stages that wait for ``name``, in topological order."""
        return tuple(stage for stage in self.stages if name in stage.after)

    @property
    def roots(self) -> tuple[Stage, ...]:
        """The stages that run on the frame as it arrives."""
        return tuple(stage for stage in self.stages if not stage.after)


def _topological(query: str, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    by_name = {stage.name: stage for stage in stages}
    if len(by_name) != len(stages):
        raise InvalidArgumentError(
            f"query {query!r}: two stages have the same name", reason="invalid_query"
        )
    for stage in stages:
        for parent in stage.after:
            if parent not in by_name:
                raise InvalidArgumentError(
                    f"query {query!r}: stage {stage.name!r} is after {parent!r}, "
                    "which is not a stage of this query",
                    reason="invalid_query",
                )
    done: dict[StageName, Stage] = {}
    while len(done) < len(stages):
        ready = [s for s in stages if s.name not in done and all(p in done for p in s.after)]
        if not ready:
            ring = ", ".join(sorted(s.name for s in stages if s.name not in done))
            raise InvalidArgumentError(
                f"query {query!r} is cyclic: {ring} wait for one another", reason="cyclic_query"
            )
        done.update((stage.name, stage) for stage in ready)
    return tuple(done.values())
