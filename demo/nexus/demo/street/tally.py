"""Counting up a run, frame by frame, into a StreetReport."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from nexus.client.results import QueryResult
from nexus.core.answer import StageResult
from nexus.core.units import ms_from_us, s_from_us
from nexus.demo.street.camera import CameraFrame
from nexus.demo.street.report import StageReport, StreetReport
from nexus.demo.street.sightings import Sightings

LATENCIES_MAX = 5_000
"""Latencies kept for the quantiles, newest; a longer run shows those of its last frames."""


def quantile_ms(latencies_us: Iterable[int], fraction: float) -> float:
    """The smallest latency that ``fraction`` of all are within, in ms; 0 when there are none."""
    ordered = sorted(latencies_us)
    if not ordered:
        return 0.0
    rank = min(int(fraction * len(ordered)), len(ordered) - 1)
    return ms_from_us(ordered[rank])


def _latencies() -> deque[int]:
    return deque(maxlen=LATENCIES_MAX)


@dataclass(slots=True)
class StageTally:
    """One stage's part of the run."""

    calls: int = 0
    dropped: int = 0
    skipped: int = 0
    batches: int = 0
    batched: int = 0
    budget_us: int = 0
    latencies_us: deque[int] = field(default_factory=_latencies)

    def add(self, result: StageResult) -> None:
        """Count one frame's stage."""
        items = len(result.regions) or 1
        failed = result.failed_items if result.outcome.ok else items
        self.calls += items - failed
        self.dropped += failed
        self.skipped += result.skipped_items
        self.budget_us = result.budget_us or self.budget_us
        if result.outcome.batch:
            self.batches += 1
            self.batched += result.outcome.batch
        if result.outcome.ok and result.outcome.batch:  # A stage with nothing to do took no time.
            self.latencies_us.append(result.latency_us)

    def report(self, stage: str) -> StageReport:
        """The numbers as they are now."""
        return StageReport(
            stage=stage,
            calls=self.calls,
            dropped=self.dropped,
            skipped=self.skipped,
            batch=self.batched / self.batches if self.batches else 0.0,
            budget_ms=ms_from_us(self.budget_us),
            p50_ms=quantile_ms(self.latencies_us, 0.5),
            p99_ms=quantile_ms(self.latencies_us, 0.99),
        )


@dataclass(slots=True)
class StreetTally:
    """The run so far; ``report`` freezes it."""

    query: str
    slo_us: int
    offered: int = 0
    in_time: int = 0
    late: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    latencies_us: deque[int] = field(default_factory=_latencies)
    stages: dict[str, StageTally] = field(default_factory=dict)
    read_right: int = 0
    last_text: str = ""
    objects: Counter[str] = field(default_factory=Counter)
    vehicles: Counter[str] = field(default_factory=Counter)

    def answered(self, frame: CameraFrame, result: QueryResult, sightings: Sightings) -> None:
        """Count a frame that came back with results."""
        if result.latency_us <= self.slo_us:
            self.in_time += 1
        else:
            self.late += 1
        self.latencies_us.append(result.latency_us)
        for stage in result.stages:
            self.stages.setdefault(stage.stage, StageTally()).add(stage)
        texts = [line.text for line in sightings.lines]
        self.read_right += frame.text in texts
        self.last_text = " | ".join(texts) or self.last_text
        self.objects.update(thing.label for thing in sightings.objects)
        self.vehicles.update(thing.kind for thing in sightings.objects if thing.kind)

    def report(self, elapsed_us: int, people: int) -> StreetReport:
        """The run as it is now, ``elapsed_us`` after its start."""
        return StreetReport(
            query=self.query,
            slo_ms=ms_from_us(self.slo_us),
            elapsed_s=s_from_us(elapsed_us),
            offered=self.offered,
            in_time=self.in_time,
            late=self.late,
            dropped=dict(self.dropped.most_common()),
            p50_ms=quantile_ms(self.latencies_us, 0.5),
            p99_ms=quantile_ms(self.latencies_us, 0.99),
            stages=tuple(tally.report(name) for name, tally in self.stages.items()),
            read_right=self.read_right,
            last_text=self.last_text,
            objects=dict(self.objects.most_common()),
            vehicles=dict(self.vehicles.most_common()),
            people=people,
        )
