"""Charts: every value is in its place, labels keep apart, axes are round."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.drawing.axis import Axis, number_text, scale, ticks
from nexus.drawing.bar_chart import Bar, BarChart, bar_chart_svg
from nexus.drawing.column_chart import ColumnChart, Columns, column_chart_svg
from nexus.drawing.frame import Mark, spread
from nexus.drawing.line_chart import LineChart, Series, line_chart_svg
from nexus.drawing.palette import AREAS, LINES_DARK, LINES_LIGHT, area_classes
from nexus.drawing.svg import shortened, text_width
from tests.drawing.svg_reading import contents, extent, parse, shapes, size_of, texts

numbers = st.floats(-1e9, 1e9)
values = numbers | st.just(math.nan)
words = st.text(max_size=40)


def coordinates(
    points: list[tuple[float, float]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(x for x, _ in points), tuple(y for _, y in points)


@given(st.lists(st.tuples(words, st.lists(st.tuples(numbers, values), max_size=30)), max_size=12))
def test_line_chart_svg_is_well_formed_and_inside_the_page(
    lines: list[tuple[str, list[tuple[float, float]]]],
) -> None:
    picture = line_chart_svg(
        LineChart(
            title="t",
            x=Axis(title="x", low=None),
            y=Axis(title="y", low=None),
            series=tuple(Series(name, *coordinates(sorted(points))) for name, points in lines),
            levels=(Mark(0.5, "level"),),
        )
    )
    width, _ = size_of(picture)
    assert all(extent(found)[1] <= width for found in texts(picture))


@given(st.lists(st.tuples(words, st.floats(0, 1e9)), max_size=20))
def test_bar_chart_svg_bars_are_in_proportion(bars: list[tuple[str, float]]) -> None:
    picture = bar_chart_svg(
        BarChart(
            title="t",
            axis=Axis(title="x", unit="s"),
            bars=tuple(Bar(name, value) for name, value in bars),
        )
    )
    drawn = [shape.width for shape in shapes(picture) if shape.kind == "bar"]
    assert len(drawn) == len(bars)
    most = max((value for _, value in bars), default=0)
    for (_, value), width in zip(bars, drawn, strict=True):
        assert width == pytest.approx(max(drawn) * value / (most or 1), abs=0.01)


def test_column_chart_svg_columns_do_not_overlap_and_gaps_stay_empty() -> None:
    picture = column_chart_svg(
        ColumnChart(
            title="t",
            axis=Axis(title="y"),
            groups=("a", "b"),
            series=(Columns("one", (1.0, math.nan)), Columns("two", (0.5, 0.25))),
        )
    )
    columns = sorted((s.x, s.x + s.width, s.height) for s in shapes(picture) if ", " in s.tooltip)
    assert len(columns) == 3
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(columns))
    assert columns[0][2] == pytest.approx(2 * columns[1][2], abs=0.02)


def test_column_chart_svg_many_series_keep_their_legend_on_the_page() -> None:
    picture = column_chart_svg(
        ColumnChart(
            title="t",
            axis=Axis(title="y"),
            groups=("a",),
            series=tuple(Columns(f"a policy with a long name {i}", (float(i),)) for i in range(12)),
        )
    )
    width, _ = size_of(picture)
    assert all(extent(found)[1] <= width for found in texts(picture))


def test_line_chart_svg_names_stay_apart_where_lines_end_together() -> None:
    series = tuple(Series(f"line{i}", (0.0, 1.0), (0.0, 1.0)) for i in range(8))
    picture = line_chart_svg(
        LineChart(title="t", x=Axis(title="x"), y=Axis(title="y"), series=series)
    )
    heights = sorted(found.y for found in texts(picture) if found.content.startswith("line"))
    assert len(heights) == 8
    assert all(low + 12 <= high for low, high in itertools.pairwise(heights))


def test_line_chart_svg_breaks_a_line_where_there_is_no_value() -> None:
    broken = Series("a", (0.0, 1.0, 2.0, 3.0, 4.0), (1.0, 2.0, math.nan, 1.0, 2.0))
    picture = line_chart_svg(
        LineChart(title="t", x=Axis(title="x"), y=Axis(title="y"), series=(broken,))
    )
    assert len([element for element in parse(picture).iter() if element.tag.endswith("path")]) == 2


def test_line_chart_svg_says_units_and_marks() -> None:
    picture = line_chart_svg(
        LineChart(
            title="Goodput <now>",
            x=Axis(title="time", unit="s"),
            y=Axis(title="rate", unit="1/s"),
            series=(Series("a&b", (0.0, 1.0), (1.0, 2.0)),),
            moments=(Mark(0.5, "device dies"),),
        )
    )
    found = contents(picture)
    for expected in ("Goodput <now>", "time [s]", "rate [1/s]", "device dies", "a&b"):
        assert expected in found


@given(numbers, st.floats(1e-6, 1e9))
def test_ticks_are_round_evenly_spaced_and_inside(low: float, span: float) -> None:
    high = low + span
    found = ticks(low, high)
    assert 1 <= len(found) <= 12
    assert all(low - span * 1e-6 <= tick <= high + span * 1e-6 for tick in found)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=9), st.booleans())
def test_scale_keeps_order_and_range(some: list[float], log: bool) -> None:
    found = scale(Axis(title="x", log=log), some, 100.0, 500.0)
    places = [found.at(value) for value in sorted(some)]
    assert places == sorted(places)
    assert all(100.0 <= place <= 500.0 + 1e-9 for place in places)


@given(st.lists(st.floats(0, 300), max_size=30))
def test_spread_keeps_order_gap_and_range(wanted: list[float]) -> None:
    places = spread(sorted(wanted), 16.0, 0.0, 300.0)
    gap = min(16.0, 300.0 / max(1, len(wanted) - 1))
    assert all(a + gap <= b + 1e-6 for a, b in itertools.pairwise(places))
    assert all(-1e-6 <= place <= 300.0 + 1e-6 for place in places)


def test_spread_leaves_alone_what_is_apart() -> None:
    assert spread((10.0, 50.0, 90.0), 16.0, 0.0, 100.0) == (10.0, 50.0, 90.0)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (0.95, "0.95"), (12, "12"), (1200, "1,200"), (45_000, "45k"), (3.2e6, "3.2M")],
)
def test_number_text_is_short(value: float, written: str) -> None:
    assert number_text(value) == written


@given(st.text(max_size=60), st.floats(0, 400))
def test_shortened_fits(content: str, room: float) -> None:
    assert text_width(shortened(content, room, 12), 12) <= room


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_palette_words_on_areas_and_lines_on_the_page_can_be_read() -> None:
    assert min(contrast(area, "#14202b") for area in AREAS) >= 7
    assert min(contrast(line, "#ffffff") for line in LINES_LIGHT) >= 3
    assert min(contrast(line, "#12181f") for line in LINES_DARK) >= 3


def test_area_classes_are_distinct_while_there_are_colours() -> None:
    names = [f"session-{i}" for i in range(len(AREAS))]
    assert len(set(area_classes(names).values())) == len(AREAS)
    assert area_classes(["x"]) == area_classes(["x", "x"])
