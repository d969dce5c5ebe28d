"""Colours: told apart by colour-blind readers, stable by session, in light and in dark.

Areas carry dark words, so their colours are light in both schemes; lines lie on the background, so
theirs change with it. Both sets are laid out after Okabe and Ito. A session's colour follows from
its name, not from its place in a list, so a plan of today and one of tomorrow can be compared.
"""

import zlib
from collections.abc import Iterable, Mapping

AREAS = (
    "#7db8e8",
    "#f2b25c",
    "#5fc9a3",
    "#f0dc6a",
    "#ef9a76",
    "#dba6cf",
    "#9fa8ee",
    "#b5cc5a",
    "#7fd3d6",
    "#d9c3a3",
    "#c9b3ea",
    "#a8b8c4",
)
"""Fills under dark words: contrast at least 7 to 1."""

LINES_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#a8498a", "#b07c00", "#3a8fc4", "#6b6b6b")
LINES_DARK = ("#56b4f0", "#ff8a4a", "#3fd0a4", "#e79ccb", "#f0c04a", "#a5d5f5", "#b5b5b5")
"""Strokes on a white and on a near-black background."""

DASHES = ("", "7 3", "2 3", "10 3 2 3")
"""A second sign beside the colour, for lines: it changes when the colours begin again."""

STYLE = """\
svg { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }
text { fill: #1c2733; }
.page { fill: #ffffff; }
.soft { fill: #5b6875; }
.faint { fill: #8a96a3; }
.slot { fill: #14202b; }
.warn { fill: #b3361e; }
.track { fill: #eef2f5; }
.bar { fill: #5b7f9e; }
.rule { stroke: #dde3e8; stroke-width: 1; }
.axis { stroke: #a9b4be; stroke-width: 1; }
.mark { stroke: #5b6875; stroke-width: 1; stroke-dasharray: 4 3; }
.hatch { stroke: #b9c4ce; stroke-width: 1.2; }
.spare { fill: none; stroke: #5b6875; stroke-width: 1.2; stroke-dasharray: 4 3; }
.group { fill: none; stroke: #14202b; stroke-width: 1.4; }
.heat { fill: #0072b2; }
.good { fill: #7db8e8; }
.bad { fill: #d55e00; }
.halo { stroke: #ffffff; stroke-width: 3; paint-order: stroke; }
"""
STYLE_DARK = """\
text { fill: #e4ebf1; }
.page { fill: #12181f; }
.soft { fill: #a3b0bc; }
.faint { fill: #77848f; }
.slot { fill: #14202b; }
.warn { fill: #ff8f73; }
.track { fill: #1f2831; }
.bar { fill: #6d93b3; }
.rule { stroke: #2a3540; }
.axis { stroke: #5b6875; }
.mark { stroke: #a3b0bc; }
.hatch { stroke: #44525f; }
.spare { stroke: #a3b0bc; }
.group { stroke: #e4ebf1; }
.heat { fill: #56b4f0; }
.halo { stroke: #12181f; }
"""


def style_sheet() -> str:
    """The style of every picture; a viewer that knows no colour schemes shows the light one."""
    return (
        STYLE
        + "".join(f".a{i} {{ fill: {colour}; }}\n" for i, colour in enumerate(AREAS))
        + _lines(LINES_LIGHT)
        + "@media (prefers-color-scheme: dark) {\n"
        + STYLE_DARK
        + _lines(LINES_DARK)
        + "}\n"
    )


def area_classes(names: Iterable[str]) -> Mapping[str, str]:
    """The class of each name's fill.

    A name's own colour follows from the name alone. Where two of one picture would share it, the
    later in the alphabet takes the next free one, as long as there is one.
    """
    taken: set[int] = set()
    chosen = {}
    for name in sorted(set(names)):
        own = zlib.crc32(name.encode(errors="replace")) % len(AREAS)
        free = [
            (own + step) % len(AREAS)
            for step in range(len(AREAS))
            if (own + step) % len(AREAS) not in taken
        ]
        index = free[0] if free else own
        taken.add(index)
        chosen[name] = f"a{index}"
    return chosen


def line_class(index: int) -> str:
    """The class of the stroke of the ``index``-th line of a chart."""
    return f"l{index % len(LINES_LIGHT)}"


def point_class(index: int) -> str:
    """The class of a fill in the colour of the ``index``-th line."""
    return f"p{index % len(LINES_LIGHT)}"


def dash(index: int) -> str:
    """The dashes of the ``index``-th line; empty for a solid one."""
    return DASHES[index // len(LINES_LIGHT) % len(DASHES)]


def _lines(colours: Iterable[str]) -> str:
    return "".join(
        f".l{i} {{ fill: none; stroke: {colour}; }}\n.p{i} {{ fill: {colour}; }}\n"
        for i, colour in enumerate(colours)
    )
