"""The last words of a run: a few lines of text, the same on a terminal and in a pipe."""

from collections.abc import Mapping
from pathlib import Path

from nexus.demo.street.report import StageReport, StreetReport

NAMES_SHOWN = 5


def summary_text(report: StreetReport, png: Path | None = None) -> str:
    """Frames, latencies, what was seen, and where the annotated frame lies."""
    lines = [_frames_line(report), _latency_line(report)]
    lines += [f"  {stage_text(stage)}" for stage in report.stages]
    lines += [_seen_line(report), _read_line(report)]
    if png:
        lines.append(f"  annotated frame: {png}")
    return "\n".join(lines)


def _frames_line(report: StreetReport) -> str:
    return (
        f"{report.query}: {report.offered} frames in {report.elapsed_s:.0f} s, "
        f"{report.admitted} admitted, {report.in_time} in time ({report.in_time_share:.1%}), "
        f"{report.late} late, {dropped_text(report.dropped)}"
    )


def _latency_line(report: StreetReport) -> str:
    return (
        f"  latency p50 {report.p50_ms:.0f} ms, p99 {report.p99_ms:.0f} ms, "
        f"SLO {report.slo_ms:.0f} ms"
    )


def _seen_line(report: StreetReport) -> str:
    return (
        f"  seen: {counts_text(report.objects)}; vehicles: {counts_text(report.vehicles)}; "
        f"{report.people} different persons"
    )


def _read_line(report: StreetReport) -> str:
    return (
        f"  camera stamp read right on {report.read_right} of {report.answered} answered frames "
        f"({report.read_right_share:.1%})"
    )


def stage_text(stage: StageReport) -> str:
    """One stage in one line."""
    return (
        f"{stage.stage:<8} {stage.calls:>5} calls, batch {stage.batch:.1f}, budget "
        f"{stage.budget_ms:.0f} ms, p50 {stage.p50_ms:.0f} ms, p99 {stage.p99_ms:.0f} ms, "
        f"{stage.dropped} dropped, {stage.skipped} skipped"
    )


def dropped_text(dropped: Mapping[str, int]) -> str:
    """``3 dropped (2 overloaded, 1 deadline)``."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    return f"{sum(dropped.values())} dropped" + (f" ({reasons})" if reasons else "")


def counts_text(counts: Mapping[str, int]) -> str:
    """``12 car, 7 person``, the commonest first; ``nothing`` when there is nothing."""
    shown = [f"{count} {name}" for name, count in list(counts.items())[:NAMES_SHOWN]]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") or "nothing"
