"""Horizontal bars: one value each, written behind it."""

from collections.abc import Iterator, Sequence
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
    vertical_mark,
)
from nexus.drawing.svg import Box

PITCH, THICKNESS = 26, 16
NAMES_WIDTH_MAX = 300.0
TOP = 94


@dataclass(frozen=True, slots=True)
class Bar:
    """``text`` replaces the value behind the bar; an ``accent`` is drawn in a stronger colour."""

    name: str
    value: float
    text: str = ""
    accent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Bars in the order given, top down."""

    title: str
    subtitle: str = ""
    axis: Axis
    bars: tuple[Bar, ...]
    levels: tuple[Mark, ...] = ()


def bar_chart_svg(given: BarChart) -> str:
    """The chart as SVG text."""
    names = min(_widest([bar.name for bar in given.bars]), NAMES_WIDTH_MAX) + 14
    values = _widest([_written(bar) for bar in given.bars]) + 10
    plot = Box(
        MARGIN + names,
        TOP,
        WIDTH - 2 * MARGIN - names - values,
        PITCH * max(1, len(given.bars)) + 6,
    )
    wanted = [bar.value for bar in given.bars] + [mark.value for mark in given.levels]
    across = scale(given.axis, wanted, plot.x, plot.x + plot.width)
    parts = [*heading(given.title, given.subtitle), *bottom_axis(given.axis, across, plot)]
    lines = Box(plot.x, plot.y - 14, plot.width, plot.height + 14)
    parts += (vertical_mark(mark, across.at(mark.value), lines) for mark in given.levels)
    for index, bar in enumerate(given.bars):
        parts += _bar(bar, plot.y + 5 + index * PITCH, across, names - 14)
    return chart(given.title, plot.y + plot.height + 56, parts)


def _bar(bar: Bar, y: float, across: Scale, names: float) -> Iterator[str]:
    end = across.at(bar.value)
    box = Box(across.begin, y, max(0.0, end - across.begin), THICKNESS)
    base = y + THICKNESS / 2 + TEXT_SIZE * 0.36
    name = svg.shortened(bar.name, names, TEXT_SIZE)
    yield svg.text(across.begin - 10, base, name, font_size=TEXT_SIZE, text_anchor="end")
    kind = "p0" if bar.accent else "bar"
    yield svg.titled(f"{bar.name}: {_written(bar)}", svg.rectangle(box, rx=2, class_=kind))
    yield svg.text(end + 8, base, _written(bar), font_size=TEXT_SIZE, class_="soft halo")


def _written(bar: Bar) -> str:
    return bar.text or number_text(bar.value)


def _widest(texts: Sequence[str]) -> float:
    return max((svg.text_width(text, TEXT_SIZE) for text in texts), default=0.0)
