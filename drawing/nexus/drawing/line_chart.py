"""Lines over a common axis, each named where it ends."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from nexus.drawing import svg
from nexus.drawing.axis import Axis, Scale, number_text, scale
from nexus.drawing.frame import (
    MARGIN,
    TEXT_SIZE,
    WIDTH,
    Mark,
    bottom_axis,
    chart,
    heading,
    horizontal_mark,
    left_axis,
    spread,
    vertical_mark,
)
from nexus.drawing.palette import dash, line_class, point_class
from nexus.drawing.svg import Box

HEIGHT = 420
LABEL_WIDTH_MAX = 220.0
LABEL_GAP = 16.0
DOTS_MAX = 24
"""Lines with more points than this are drawn without dots."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line through (x, y), in order of x; a y that is not a number breaks it."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        """As many y as x, or it is a programmer's error."""
        assert len(self.x) == len(self.y), self.name

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The pairs."""
        return tuple(zip(self.x, self.y, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """``levels`` are lines across at values of y, ``moments`` at values of x."""

    title: str
    subtitle: str = ""
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    levels: tuple[Mark, ...] = ()
    moments: tuple[Mark, ...] = ()


def line_chart_svg(given: LineChart) -> str:
    """The chart as SVG text."""
    names = max((svg.text_width(s.name, TEXT_SIZE) for s in given.series), default=0.0)
    room = min(names, LABEL_WIDTH_MAX) + 16
    plot = Box(MARGIN + 44, 94, WIDTH - 2 * MARGIN - 44 - room, HEIGHT - 94 - 58)
    across, up = _scales(given, plot)
    parts = [*heading(given.title, given.subtitle)]
    parts += left_axis(given.y, up, plot)
    parts += bottom_axis(given.x, across, plot)
    parts += (horizontal_mark(mark, up.at(mark.value), plot) for mark in given.levels)
    parts += (vertical_mark(mark, across.at(mark.value), plot) for mark in given.moments)
    for index, series in enumerate(given.series):
        parts.append(_line(index, series, across, up))
    parts += _labels(given, up, plot, room - 16)
    return chart(given.title, HEIGHT, parts)


def _scales(given: LineChart, plot: Box) -> tuple[Scale, Scale]:
    xs = [x for series in given.series for x, _ in series.points]
    ys = [y for series in given.series for _, y in series.points]
    ys += [mark.value for mark in given.levels]
    across = scale(given.x, xs, plot.x, plot.x + plot.width)
    return across, scale(given.y, ys, plot.y + plot.height, plot.y)


def _line(index: int, series: Series, across: Scale, up: Scale) -> str:
    strokes = [
        svg.path(run, class_=line_class(index), stroke_width=2.2, **_dashes(index))
        for run in _runs(series, across, up)
        if len(run) > 1
    ]
    dots = []
    if len(series.points) <= DOTS_MAX:
        dots = [_dot(index, series.name, x, y, across, up) for x, y in _finite(series)]
    return svg.titled(series.name, *strokes, *dots)


def _dashes(index: int) -> dict[str, str | float]:
    pattern = dash(index)
    return {"stroke_dasharray": pattern} if pattern else {"stroke_linejoin": "round"}


def _dot(index: int, name: str, x: float, y: float, across: Scale, up: Scale) -> str:  # noqa: PLR0917 - a point in two frames
    circle = svg.element("circle", cx=across.at(x), cy=up.at(y), r=3.2, class_=point_class(index))
    return svg.titled(f"{name}: {number_text(y)} at {number_text(x)}", circle)


def _runs(series: Series, across: Scale, up: Scale) -> Iterator[list[tuple[float, float]]]:
    """The stretches without a gap."""
    run: list[tuple[float, float]] = []
    for x, y in series.points:
        if math.isfinite(y):
            run.append((across.at(x), up.at(y)))
        elif run:
            yield run
            run = []
    yield run


def _finite(series: Series) -> list[tuple[float, float]]:
    return [(x, y) for x, y in series.points if math.isfinite(y)]


def _labels(given: LineChart, up: Scale, plot: Box, room: float) -> Iterator[str]:
    """Every name at the height of its line's end, moved apart where they would touch."""
    ends = sorted(
        (up.at(points[-1][1]), index)
        for index, series in enumerate(given.series)
        if (points := _finite(series))
    )
    places = spread([y for y, _ in ends], LABEL_GAP, plot.y + 4, plot.y + plot.height)
    for (_, index), y in zip(ends, places, strict=True):
        name = svg.shortened(given.series[index].name, room, TEXT_SIZE)
        yield svg.text(
            plot.x + plot.width + 12, y + 4, name, font_size=TEXT_SIZE, class_=point_class(index)
        )
