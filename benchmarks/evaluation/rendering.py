"""From the kept data to what people read: docs/evaluation.md and its pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.evaluation.section import Evaluation, Picture, Promise, Section, Table
from nexus.drawing.bar_chart import bar_chart_svg
from nexus.drawing.column_chart import column_chart_svg
from nexus.drawing.line_chart import line_chart_svg

PREFIX = "evaluation-"
INTRODUCTION = """\
Made by one command, `python -m benchmarks.evaluation` (`--quick` for a short look, `--only NAME`
for one section, `--render` to write this page anew from `docs/evaluation.json` without a run).
Everything but planning times and the emulated cluster is virtual time on the very engines that
serve, so it depends on seeds alone. The baselines are policies in the same simulator, each after
its published description; what is left out there flatters them: no control plane, no network, a
dispatcher that sees all at once.

A *capacity* is the highest rate at which at least 99 % of the requests of every session are
answered in time, at every seed tried: short runs from above find the neighbourhood, long ones
decide."""
QUICK_NOTE = "**A quick run: short, one seed, part of the cases. Do not quote it.**"
KEPT = {True: "yes", False: "**no**", None: "not measured"}


def render(evaluation: Evaluation, page: Path, images: Path) -> None:
    """Write the page and its pictures; pictures that no section has any more are removed."""
    images.mkdir(parents=True, exist_ok=True)
    for stale in images.glob(f"{PREFIX}*.svg"):
        stale.unlink()
    for section in evaluation.sections:
        for picture in section.pictures:
            (images / f"{PREFIX}{picture.name}.svg").write_text(svg(picture), encoding="utf-8")
    page.write_text(page_text(evaluation, images.name), encoding="utf-8")


def svg(picture: Picture) -> str:
    """The picture's SVG."""
    if picture.lines is not None:
        return line_chart_svg(picture.lines)
    if picture.columns is not None:
        return column_chart_svg(picture.columns)
    assert picture.bars is not None, picture.name
    return bar_chart_svg(picture.bars)


def page_text(evaluation: Evaluation, images: str) -> str:
    """The page as Markdown; ``images`` is the folder of the pictures, seen from it."""
    parts = ["# Evaluation", INTRODUCTION]
    quick = ", ".join(section.title.lower() for section in evaluation.sections if section.quick)
    if quick:
        parts.append(f"**Measured by quick runs only, not to be quoted:** {quick}.")
    promises = [promise for section in evaluation.sections for promise in section.promises]
    parts += _summary("What was promised, and what was measured", promises, paper=False)
    parts += _summary("The published figures, reproduced", promises, paper=True)
    for section in evaluation.sections:
        parts += _section(section, images)
    return "\n\n".join(parts) + "\n"


def _summary(title: str, promises: Sequence[Promise], *, paper: bool) -> Iterator[str]:
    rows = tuple(
        (promise.what, promise.target, promise.measured, KEPT[promise.kept])
        for promise in promises
        if promise.paper == paper
    )
    if rows:
        kept = sum(promise.kept is True for promise in promises if promise.paper == paper)
        yield f"## {title}"
        yield table_text(Table(("promise", "target", "measured", "kept"), rows))
        yield f"{kept} of {len(rows)} kept."


def _section(section: Section, images: str) -> Iterator[str]:
    yield f"## {section.title}"
    if section.quick:
        yield QUICK_NOTE
    if section.about:
        yield section.about
    if section.failure:
        yield f"**This experiment failed:** {_cell(section.failure)}"
    for picture in section.pictures:
        yield f"![{picture.words}]({images}/{PREFIX}{picture.name}.svg)"
    yield from (sentence for sentence in section.seen if sentence)
    for table in section.tables:
        if table.title:
            yield f"**{table.title}**"
        yield table_text(table)
    if section.run:
        yield f"*Runs: {section.run}*"


def table_text(table: Table) -> str:
    """A Markdown table."""
    lines = [_row(table.headings), "|" + "---|" * len(table.headings)]
    lines += [_row(row) for row in table.rows]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
