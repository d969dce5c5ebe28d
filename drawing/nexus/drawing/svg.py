"""SVG as text: elements, escaped words, and a document that follows the reader's light or dark.

Written by hand because the pictures are few and flat, and every plotting library is larger than the
product that would ship it (ADR 0026). Whoever draws passes numbers and plain strings; nothing that
comes in can close a tag or an attribute.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

CHARACTER_WIDTH = 0.6
"""Width of a character as a share of the font size: that of a wide sans serif, so that a text which
fits by this count fits in whatever font the reader has."""
BOLD = 1.13
"""How much wider a bold text is."""

_NOT_XML = dict.fromkeys(
    (*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF)
)
"""Characters that no XML document may hold, escaped or not."""


@dataclass(frozen=True, slots=True)
class Box:
    """A place in a picture: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


def element(tag: str, *children: str, **attributes: str | float) -> str:
    """One element; an attribute's underscores become hyphens, a trailing one is dropped.

    ``children`` are elements already: words must come through ``words`` first.
    """
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}={quoteattr(_clean(_value(value)))}"
        for name, value in attributes.items()
    )
    if not children:
        return f"<{tag}{written}/>"
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def words(text: str) -> str:
    """Text as the content of an element."""
    return escape(_clean(text))


def text(x: float, y: float, content: str, **attributes: str | float) -> str:
    """A line of text whose baseline begins at (x, y)."""
    return element("text", words(content), x=x, y=y, **attributes)


def titled(tooltip: str, *children: str, **attributes: str | float) -> str:
    """A group that shows ``tooltip`` under the pointer, and to a screen reader."""
    return element("g", element("title", words(tooltip)), *children, **attributes)


def moved(x: float, y: float, *children: str) -> str:
    """A group whose origin is at (x, y)."""
    return element("g", *children, transform=f"translate({_number(x)} {_number(y)})")


def rectangle(box: Box, **attributes: str | float) -> str:
    """A rectangle; a negative size is a programmer's error."""
    assert box.width >= 0, box
    assert box.height >= 0, box
    return element("rect", x=box.x, y=box.y, width=box.width, height=box.height, **attributes)


def line(start: tuple[float, float], end: tuple[float, float], **attributes: str | float) -> str:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], **attributes)


def path(points: Iterable[tuple[float, float]], **attributes: str | float) -> str:
    """An open polygon through ``points``."""
    steps = " ".join(
        f"{'L' if index else 'M'}{_number(x)} {_number(y)}" for index, (x, y) in enumerate(points)
    )
    return element("path", d=steps, **attributes)


def text_width(content: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is at most, in the units of ``size``."""
    return len(content) * size * CHARACTER_WIDTH * (BOLD if bold else 1)


def shortened(content: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits ``width`` with an ellipsis; may be empty."""
    if text_width(content, size, bold=bold) <= width:
        return content
    kept = int(width / text_width("x", size, bold=bold)) - 1
    return f"{content[:kept].rstrip()}…" if kept > 0 else ""


def that_fits(texts: Iterable[str], width: float, size: float) -> str:
    """The first of the texts that fits, or nothing."""
    return next((content for content in texts if text_width(content, size) <= width), "")


def document(width: float, height: float, title: str, style: str, *children: str) -> str:
    """A whole picture of ``width`` by ``height`` units; it scales to where it is shown."""
    page = Box(0, 0, width, height)
    return element(
        "svg",
        element("title", words(title)),
        element("style", escape(style)),
        rectangle(page, rx=10, class_="page"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=width,
        height=height,
        role="img",
    )


def idle_pattern() -> str:
    """The hatch that ``idle`` fills with; once a document."""
    return element(
        "defs",
        element(
            "pattern",
            line((0, 0), (0, 7), class_="hatch"),
            id="idle",
            width=7,
            height=7,
            patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)",
        ),
    )


def idle(box: Box, radius: float = 2) -> str:
    """A stretch in which nothing happens."""
    return rectangle(box, rx=radius, class_="track") + rectangle(box, rx=radius, fill="url(#idle)")


def _clean(content: str) -> str:
    return content.translate(_NOT_XML)


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """Hundredths of a unit are finer than any screen; a picture stays small and diffable."""
    assert math.isfinite(value), value
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
