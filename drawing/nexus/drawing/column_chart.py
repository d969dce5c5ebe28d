"""Grouped columns: several series side by side, their values above them where there is room."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from nexus.drawing import svg
from nexus.drawing.axis import Axis, Scale, number_text, scale
from nexus.drawing.frame import (
    MARGIN,
    TICK_SIZE,
    WIDTH,
    Mark,
    chart,
    heading,
    horizontal_mark,
    left_axis,
    legend,
    tick_text,
)
from nexus.drawing.palette import point_class
from nexus.drawing.svg import Box

PLOT_HEIGHT = 250
VALUE_SIZE = 10.0
GROUP_SHARE = 0.78
"""The share of a group's width that its columns take."""


@dataclass(frozen=True, slots=True)
class Columns:
    """One series: a value for every group, NaN where there is none."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChart:
    """``series`` must have as many values as there are ``groups``."""

    title: str
    subtitle: str = ""
    axis: Axis
    groups: tuple[str, ...]
    series: tuple[Columns, ...]
    levels: tuple[Mark, ...] = ()


def column_chart_svg(given: ColumnChart) -> str:
    """The chart as SVG text."""
    assert all(len(series.values) == len(given.groups) for series in given.series), given.title
    entries = [(point_class(i), series.name) for i, series in enumerate(given.series)]
    drawn_legend, legend_height = legend(entries, 72)
    plot = Box(MARGIN + 44, 96 + legend_height, WIDTH - 2 * MARGIN - 44, PLOT_HEIGHT)
    values = [value for series in given.series for value in series.values]
    up = scale(given.axis, values + [m.value for m in given.levels], plot.y + plot.height, plot.y)
    parts = [*heading(given.title, given.subtitle), drawn_legend, *left_axis(given.axis, up, plot)]
    for index, group in enumerate(given.groups):
        parts += _group(given, index, group, up, plot)
    parts += (horizontal_mark(mark, up.at(mark.value), plot) for mark in given.levels)
    return chart(given.title, plot.y + plot.height + 40, parts)


def _group(given: ColumnChart, index: int, name: str, up: Scale, plot: Box) -> Iterator[str]:
    room = plot.width / len(given.groups)
    width = room * GROUP_SHARE / max(1, len(given.series))
    left = plot.x + index * room + room * (1 - GROUP_SHARE) / 2
    for number, series in enumerate(given.series):
        value = series.values[index]
        if math.isfinite(value):
            top = up.at(value)
            box = Box(left + number * width, top, max(0.0, width - 2), up.begin - top)
            fill = svg.rectangle(box, rx=1.5, class_=point_class(number))
            yield svg.titled(f"{name}, {series.name}: {number_text(value)}", fill)
            yield from _value(value, box)
    base = plot.y + plot.height
    yield tick_text(
        plot.x + (index + 0.5) * room, base + 18, svg.shortened(name, room - 4, TICK_SIZE)
    )


def _value(value: float, box: Box) -> Iterator[str]:
    written = number_text(value)
    if svg.text_width(written, VALUE_SIZE) <= box.width + 2:
        yield svg.text(
            box.x + box.width / 2,
            box.y - 4,
            written,
            font_size=VALUE_SIZE,
            text_anchor="middle",
            class_="soft halo",
        )
