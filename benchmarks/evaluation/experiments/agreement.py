"""Does the simulator tell the truth? One scenario in virtual time, and as real processes."""

from benchmarks.agreement import BUSY, Compared, LivePath, agree
from benchmarks.evaluation.lab import Lab
from benchmarks.evaluation.section import Picture, Promise, Section, Table
from benchmarks.evaluation.wording import at_least, largest, ratio
from nexus.drawing.axis import Axis
from nexus.drawing.column_chart import ColumnChart, Columns
from nexus.scheduler.scenario_file import parse_scenario

SECONDS, SECONDS_QUICK = 30.0, 8.0
ABOUT = (
    "Three sessions on four emulated devices: frontend, backends, scheduler and store as real "
    "processes on this machine under open-loop load, and the same scenario in virtual time. What a "
    "request costs on the live path is measured first, on a nearly idle cluster; nothing else is "
    "fitted."
)


def agreement(lab: Lab) -> Section:
    """Goodput and p99 of both."""
    seconds = SECONDS if lab.effort.thorough else SECONDS_QUICK
    path, rows, lag_ms = agree(BUSY, parse_scenario(BUSY), seconds)
    return Section(
        name="agreement",
        title="Simulated against real processes",
        about=ABOUT,
        seen=(_seen(path, lag_ms),),
        run=f"{seconds:g} s of load, seed 3",
        promises=_promises(rows),
        tables=(_table(rows),),
        pictures=(_picture(rows),),
    )


def _seen(path: LivePath, lag_ms: float) -> str:
    return (
        f"The live path took {path.delay_us} us one way and up to {path.jitter_us} us more; the "
        f"generator's sends were late by {lag_ms:.1f} ms at the 99th percentile, which says how "
        "busy the machine was besides."
    )


def _promises(rows: tuple[Compared, ...]) -> tuple[Promise, ...]:
    goodput, *tails = rows
    worst = largest([abs(row.ratio - 1) for row in tails])
    return (
        Promise(
            what="simulated and emulated-real runs agree: goodput",
            target="within 5 %",
            measured=f"{100 * (goodput.ratio - 1):+.1f} %",
            kept=goodput.agrees,
        ),
        Promise(
            what="simulated and emulated-real runs agree: p99 of every session",
            target="within 25 %",
            measured=f"at most {100 * worst:.0f} % apart",
            kept=at_least(-worst, -tails[0].tolerance),
        ),
    )


def _table(rows: tuple[Compared, ...]) -> Table:
    written = tuple(
        (row.name, f"{row.simulated:.1f}", f"{row.real:.1f}", ratio(row.ratio)) for row in rows
    )
    return Table(("figure", "simulated", "real", "real / simulated"), written)


def _picture(rows: tuple[Compared, ...]) -> Picture:
    tails = rows[1:]
    return Picture(
        name="agreement",
        words="99th percentile of every session, simulated and real",
        columns=ColumnChart(
            title="99th percentile, simulated and real",
            axis=Axis(title="p99", unit="ms"),
            groups=tuple(row.name.removesuffix(" p99") for row in tails),
            series=(
                Columns("simulated", tuple(row.simulated for row in tails)),
                Columns("real", tuple(row.real for row in tails)),
            ),
        ),
    )
