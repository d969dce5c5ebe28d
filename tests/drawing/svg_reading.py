"""What the drawing tests read out of a picture: elements, texts, absolute boxes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Shape:
    """A rectangle with the classes it has and the tooltip of its group, in absolute units."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    tooltip: str


@dataclass(frozen=True)
class Words:
    """A text with its anchor in absolute units."""

    x: float
    y: float
    size: float
    bold: bool
    anchor: str
    content: str


def parse(picture: str) -> ET.Element:
    return ET.fromstring(picture)


def size_of(picture: str) -> tuple[float, float]:
    root = parse(picture)
    return float(root.attrib["width"]), float(root.attrib["height"])


def shapes(picture: str) -> list[Shape]:
    return [item for item in _walk(parse(picture), 0, 0, "") if isinstance(item, Shape)]


def texts(picture: str) -> list[Words]:
    return [item for item in _walk(parse(picture), 0, 0, "") if isinstance(item, Words)]


def contents(picture: str) -> str:
    """Everything a reader or a pointer can find, a line each."""
    return "\n".join(element.text or "" for element in parse(picture).iter())


def _walk(element: ET.Element, x: float, y: float, tooltip: str) -> Iterator[Shape | Words]:
    moved = re.match(r"translate\((\S+) (\S+)\)", element.get("transform", ""))
    if moved:
        x, y = x + float(moved.group(1)), y + float(moved.group(2))
    title = element.find(f"{SVG}title")
    if title is not None and element.tag == f"{SVG}g":
        tooltip = title.text or ""
    if element.tag == f"{SVG}rect":
        yield Shape(
            x + float(element.attrib["x"]),
            y + float(element.attrib["y"]),
            float(element.attrib["width"]),
            float(element.attrib["height"]),
            element.get("class", ""),
            tooltip,
        )
    if element.tag == f"{SVG}text":
        yield Words(
            x + float(element.attrib["x"]),
            y + float(element.attrib["y"]),
            float(element.attrib["font-size"]),
            "font-weight" in element.attrib,
            element.get("text-anchor", "start"),
            element.text or "",
        )
    for child in element:
        if child.tag != f"{SVG}defs":
            yield from _walk(child, x, y, tooltip)


def extent(words: Words) -> tuple[float, float]:
    """Left and right end of a text by the widest font."""
    width = len(words.content) * words.size * 0.6 * (1.13 if words.bold else 1)
    left = words.x - {"start": 0.0, "middle": width / 2, "end": width}[words.anchor]
    return left, left + width
