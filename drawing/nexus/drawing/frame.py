"""What all charts have in common: title, axes, grid, reference lines, legend."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nexus.drawing import svg
from nexus.drawing.axis import Axis, Scale, number_text
from nexus.drawing.palette import style_sheet
from nexus.drawing.svg import Box

WIDTH = 860
MARGIN = 28
TITLE_SIZE, TEXT_SIZE = 17.0, 12.0
TICK_SIZE = 11.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A value worth a line across the chart, and what it is."""

    value: float
    label: str


def heading(title: str, subtitle: str) -> Iterator[str]:
    """Title and subtitle at the top left."""
    room = WIDTH - 2 * MARGIN
    first = svg.shortened(title, room, TITLE_SIZE, bold=True)
    yield svg.text(MARGIN, 36, first, font_size=TITLE_SIZE, font_weight=600)
    second = svg.shortened(subtitle, room, TEXT_SIZE)
    yield svg.text(MARGIN, 57, second, font_size=TEXT_SIZE, class_="soft")


def chart(title: str, height: float, parts: Iterable[str]) -> str:
    """A whole chart."""
    return svg.document(WIDTH, height, title, style_sheet(), *parts)


def left_axis(axis: Axis, scale: Scale, plot: Box) -> Iterator[str]:
    """Grid lines with their values, and the axis's words above them."""
    yield svg.text(plot.x, plot.y - 12, axis.words, font_size=TICK_SIZE, class_="soft")
    for tick in scale.ticks:
        y = scale.at(tick)
        yield svg.line((plot.x, y), (plot.x + plot.width, y), class_="rule")
        yield svg.text(
            plot.x - 8,
            y + 4,
            number_text(tick),
            font_size=TICK_SIZE,
            text_anchor="end",
            class_="soft",
        )


def bottom_axis(axis: Axis, scale: Scale, plot: Box) -> Iterator[str]:
    """The axis with ticks and their values, and its words beneath."""
    base = plot.y + plot.height
    yield svg.line((plot.x, base), (plot.x + plot.width, base), class_="axis")
    for tick in scale.ticks:
        x = scale.at(tick)
        yield svg.line((x, base), (x, base + 4), class_="axis")
        yield tick_text(x, base + 17, number_text(tick))
    middle = plot.x + plot.width / 2
    yield svg.text(
        middle, base + 37, axis.words, font_size=TICK_SIZE, text_anchor="middle", class_="soft"
    )


def tick_text(x: float, y: float, content: str) -> str:
    """The words at a tick."""
    return svg.text(x, y, content, font_size=TICK_SIZE, text_anchor="middle", class_="soft")


def horizontal_mark(mark: Mark, y: float, plot: Box) -> str:
    """A dashed line across the plot, its label at the left end above it, or else below."""
    base = y - 5 if y - plot.y > TICK_SIZE + 5 else y + TICK_SIZE + 2
    return svg.line((plot.x, y), (plot.x + plot.width, y), class_="mark") + svg.text(
        plot.x + 5, base, mark.label, font_size=TICK_SIZE, class_="soft halo"
    )


def vertical_mark(mark: Mark, x: float, plot: Box) -> str:
    """A dashed line through the plot, its label at the upper end beside it."""
    return svg.line((x, plot.y), (x, plot.y + plot.height), class_="mark") + svg.text(
        x + 5, plot.y + 11, mark.label, font_size=TICK_SIZE, class_="soft halo"
    )


def legend(entries: Sequence[tuple[str, str]], y: float) -> tuple[str, float]:
    """Swatches of the given classes with their names, in lines; and how tall they are."""
    x, parts, lines = float(MARGIN), [], 1
    for kind, name in entries:
        needed = 22 + svg.text_width(name, TEXT_SIZE)
        if x + needed > WIDTH - MARGIN and x > MARGIN:
            x, lines = float(MARGIN), lines + 1
        top = y + (lines - 1) * 20
        parts.append(svg.rectangle(Box(x, top, 14, 11), rx=2, class_=kind))
        parts.append(svg.text(x + 20, top + 10, name, font_size=TEXT_SIZE))
        x += needed + 18
    return "".join(parts), lines * 20.0


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> tuple[float, ...]:
    """Places as near as may be to the wanted ones, ``gap`` apart, in the same order, in range.

    ``wanted`` must be sorted. Where there is no room for all gaps, they shrink alike.
    """
    if not wanted:
        return ()
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    places: list[float] = []
    for index, value in enumerate(wanted):
        least = places[-1] + gap if places else low
        places.append(max(value, least, low + index * gap))
    ceiling = high
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - gap
    return tuple(places)
