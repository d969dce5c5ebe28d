"""How profiling shows its progress: a bar that is redrawn on a terminal, lines in a pipe."""

from typing import TextIO

from nexus.core.units import US_PER_S, ms_from_us
from nexus.profiler.progress import OnProgress, Progress

BAR_WIDTH = 30


def progress_on(stream: TextIO) -> OnProgress:
    """What to call after each step."""
    return _bar(stream) if stream.isatty() else _lines(stream)


def bar_text(progress: Progress) -> str:
    """One state of the bar."""
    filled = BAR_WIDTH * progress.done // max(1, progress.steps)
    bar = "█" * filled + "░" * (BAR_WIDTH - filled)
    return f"{progress.model:<20} {bar} {line_text(progress)}"


def line_text(progress: Progress) -> str:
    """One step in words."""
    row = progress.row
    if row is None:
        return progress.what
    return f"{progress.what}: {ms_from_us(row.p95_us):.1f} ms, {row.throughput * US_PER_S:.1f}/s"


def _bar(stream: TextIO) -> OnProgress:
    def show(progress: Progress) -> None:
        stream.write(f"\r\x1b[K{bar_text(progress)}")
        stream.flush()

    return show


def _lines(stream: TextIO) -> OnProgress:
    def show(progress: Progress) -> None:
        stream.write(f"{progress.model}: {line_text(progress)}\n")
        stream.flush()

    return show
