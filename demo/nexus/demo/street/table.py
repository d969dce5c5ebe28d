"""The run while it goes on: a live table on a terminal, a line now and then in a pipe."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nexus.demo.street.report import StreetReport
from nexus.demo.street.summary import counts_text, dropped_text

LINE_PERIOD_S = 5.0
"""In a pipe, one line each time so much of the run has passed."""


class Display(Protocol):
    """Shows reports as they come; a context manager around the run."""

    def update(self, report: StreetReport) -> None:
        """Show the newest report."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def display_for(console: Console) -> Display:
    """A live table where the console is a terminal, else plain lines."""
    return LiveTable(console) if console.is_terminal else PlainLines(console)


class LiveTable:
    """Draws the table anew, in place, at every update."""

    def __init__(self, console: Console) -> None:
        """Draw on ``console``; nothing is drawn before ``with``."""
        self._live = Live(console=console, refresh_per_second=8)

    def update(self, report: StreetReport) -> None:
        """Show the newest report."""
        self._live.update(table_of(report))

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()


class PlainLines:
    """Prints one line every LINE_PERIOD_S of the run."""

    def __init__(self, console: Console) -> None:
        """Print on ``console``."""
        self._console = console
        self._due_s = 0.0

    def update(self, report: StreetReport) -> None:
        """Print a line if one is due."""
        if report.elapsed_s >= self._due_s:
            self._due_s = report.elapsed_s + LINE_PERIOD_S
            self._console.print(line_of(report), markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to close: every line is complete."""


def line_of(report: StreetReport) -> str:
    """A report in one line."""
    stages = "  ".join(
        f"{stage.stage} b={stage.batch:.1f} {stage.p50_ms:.0f}/{stage.budget_ms:.0f}ms"
        for stage in report.stages
    )
    return (
        f"{report.elapsed_s:5.1f} s  {report.offered} frames: {report.in_time} in time, "
        f"{report.late} late, {dropped_text(report.dropped)}  "
        f"p50 {report.p50_ms:.0f} ms p99 {report.p99_ms:.0f} ms  "
        f"read right {report.read_right_share:.0%}  {stages}"
    )


def table_of(report: StreetReport) -> Group:
    """A report as the table and the lines below it."""
    return Group(_stage_table(report), _query_lines(report), _seen_lines(report))


def _stage_table(report: StreetReport) -> Table:
    table = Table(title=f"{report.query}   {report.elapsed_s:.0f} s", title_justify="left")
    table.add_column("stage")
    for heading in ("calls", "batch", "budget ms", "p50 ms", "p99 ms", "dropped"):
        table.add_column(heading, justify="right")
    for stage in report.stages:
        over = stage.budget_ms and stage.p99_ms > stage.budget_ms
        table.add_row(
            stage.stage,
            str(stage.calls),
            f"{stage.batch:.1f}",
            f"{stage.budget_ms:.0f}",
            f"{stage.p50_ms:.0f}",
            Text(f"{stage.p99_ms:.0f}", style="yellow" if over else ""),
            Text(str(stage.dropped), style="red" if stage.dropped else ""),
        )
    return table


def _query_lines(report: StreetReport) -> Text:
    text = Text(f"frames    {report.offered} offered  ")
    text.append(f"{report.in_time} in time", style="green")
    text.append("  ")
    text.append(f"{report.late} late", style="yellow" if report.late else "")
    text.append("  ")
    text.append(dropped_text(report.dropped), style="red" if report.dropped else "")
    text.append(
        f"\nlatency   p50 {report.p50_ms:.0f} ms  p99 {report.p99_ms:.0f} ms  "
        f"of SLO {report.slo_ms:.0f} ms"
    )
    return text


def _seen_lines(report: StreetReport) -> Text:
    return Text(
        f"seen      {counts_text(report.objects)}; {report.people} different persons\n"
        f"vehicles  {counts_text(report.vehicles)}\n"
        f"read      {report.last_text or '-'}  ({report.read_right_share:.0%} of stamps right)"
    )
