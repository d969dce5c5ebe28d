"""The state of a run at one moment, as plain frozen numbers: what tables and summaries show."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ADMISSION_REASONS = frozenset({"overloaded", "queue_full", "no_route", "infeasible", "draining"})
"""Reasons by which a frame is refused at once; every other frame was admitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """One stage: items answered (``calls``), those that were not, mean batch and latencies in ms.

    ``skipped`` items were beyond the stage's ``fan_out_max`` and never sent.
    """

    stage: str
    calls: int = 0
    dropped: int = 0
    skipped: int = 0
    batch: float = 0.0
    budget_ms: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetReport:
    """The whole run so far.

    ``offered = in_time + late + sum(dropped) + frames in flight``. ``read_right`` frames had the
    camera's stamp read letter by letter, of ``in_time + late`` answered ones.
    """

    query: str
    slo_ms: float
    elapsed_s: float = 0.0
    offered: int = 0
    in_time: int = 0
    late: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    stages: tuple[StageReport, ...] = ()
    read_right: int = 0
    last_text: str = ""
    objects: Mapping[str, int] = field(default_factory=dict)
    vehicles: Mapping[str, int] = field(default_factory=dict)
    people: int = 0

    @property
    def answered(self) -> int:
        """Frames that came back with results, in time or late."""
        return self.in_time + self.late

    @property
    def admitted(self) -> int:
        """Frames that were not refused on arrival, and whose end is known."""
        given_up = sum(n for why, n in self.dropped.items() if why not in ADMISSION_REASONS)
        return self.answered + given_up

    @property
    def in_time_share(self) -> float:
        """Part of the admitted frames answered within the SLO; 0 before there are any."""
        return self.in_time / self.admitted if self.admitted else 0.0

    @property
    def read_right_share(self) -> float:
        """Part of the answered frames whose stamp was read right; 0 before there are any."""
        return self.read_right / self.answered if self.answered else 0.0
