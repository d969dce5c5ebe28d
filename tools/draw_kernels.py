"""Draws the pictures of docs/kernels.md: `python tools/draw_kernels.py`.

They explain; nothing in them was measured. The sequences of the slots picture are the ones named
below, laid out by the rules the text gives.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from nexus.drawing import palette, svg
from nexus.drawing.svg import Box

IMAGES = Path(__file__).parent.parent / "docs" / "images"
UNITS = 4
"""Tiles (cores or SMs) in the pictures; real kernels have 2 to 128."""
GATES = ("i", "f", "g", "o")
LENGTHS = (6, 14, 4, 9, 7, 12, 5, 8, 3)
"""Steps of the sequences in the slots picture, in order of arrival."""
SLOTS = 3
CHUNK = 2
"""Steps of a chunk in the slots picture."""


def main() -> None:
    """Write every picture."""
    for name, picture in (
        ("kernels-tiling", tiling()),
        ("kernels-exchange", exchange()),
        ("kernels-slots", slots()),
    ):
        (IMAGES / f"{name}.svg").write_text(picture + "\n")


def tiling() -> str:
    """Which rows of the weight matrix a tile owns, and what it makes of them."""
    parts: list[str] = [_text(30, 36, "Weights, by gate", bold=True)]
    for gate, name in enumerate(GATES):
        top = 52 + gate * 60
        parts.append(_text(30, top + 33, f"R_{name}"))
        for tile in range(UNITS):
            box = Box(66, top + tile * 13, 150, 12)
            parts.append(svg.rectangle(box, class_=f"a{tile}"))
    parts.append(_text(66, 312, "H columns, one for each h(t-1)", soft=True))
    parts.append(_text(300, 36, "Tiles: one core, one SM each", bold=True))
    for tile in range(UNITS):
        parts.extend(_tile(tile, 300, 52 + tile * 64))
    parts.append(_text(620, 36, "h(t), by unit", bold=True))
    for tile in range(UNITS):
        top = 52 + tile * 64
        parts.append(_arrow((560, top + 26), (616, top + 26)))
        parts.append(svg.rectangle(Box(620, top + 8, 36, 36), rx=3, class_=f"a{tile}"))
    parts.append(_text(620, 312, "all tiles read all of it", soft=True))
    return _document(800, 332, "Output-oriented tiling", parts)


def _tile(tile: int, x: float, y: float) -> Iterator[str]:
    yield svg.rectangle(Box(x, y, 256, 54), rx=5, class_="track")
    for gate, name in enumerate(GATES):
        left = x + 10 + gate * 34
        yield svg.rectangle(Box(left, y + 14, 28, 26), rx=2, class_=f"a{tile}")
        yield svg.text(left + 14, y + 31, name, class_="slot", font_size=12, text_anchor="middle")
    yield _text(x + 152, y + 24, "its c stays")
    yield _text(x + 152, y + 41, "its gates meet")


def exchange() -> str:
    """Two steps of four tiles: product, gates, words out, words in."""
    parts: list[str] = [_text(30, 30, "One step", bold=True), _text(420, 30, "The next", bold=True)]
    for tile in range(UNITS):
        top = 50 + tile * 46
        parts.append(_text(30, top + 21, f"tile {tile}"))
        late = (0, 14, 6, 22)[tile]
        for step in range(2):
            start = 90 + step * 330 + (late if step == 0 else 0)
            parts.extend(_step(start, top, tile))
        for other in range(UNITS):
            here = 90 + (0, 14, 6, 22)[other] + 244
            parts.append(_line((here, 50 + other * 46 + 15), (416, top + 15)))
    parts.append(_text(90, 262, "R h: weights on chip, h from its buffer"))
    parts.append(_text(90, 282, "gates, c and h: inside the tile", soft=True))
    parts.append(
        _text(90, 302, "each word out carries its step number, so no barrier is needed", soft=True)
    )
    return _document(800, 322, "The exchange of h", parts)


def _step(x: float, y: float, tile: int) -> Iterator[str]:
    for left, width, name in ((0, 150, "R h"), (154, 60, "gates"), (218, 26, "h")):
        yield svg.rectangle(Box(x + left, y, width, 30), rx=3, class_=f"a{tile}")
        yield svg.text(
            x + left + width / 2, y + 20, name, class_="slot", font_size=12, text_anchor="middle"
        )


def slots() -> str:
    """The same sequences as padded static batches, and in slots."""
    unit = 15.0
    static, static_end = _rows(_static(LENGTHS), 66, unit)
    cellular, cellular_end = _rows(_cellular(LENGTHS), 224, unit)
    parts = [
        svg.idle_pattern(),
        _text(30, 34, "Padded static batches: the longest holds the others", bold=True),
        _text(30, 52, "hatched: steps computed for nobody", soft=True),
        *static,
        _text(30, 198, f"Slots, joined and left every {CHUNK} steps", bold=True),
        _text(30, 214, "a sequence takes the first slot that is free", soft=True),
        *cellular,
        _text(30, 344, f"{static_end} steps against {cellular_end}", bold=True),
    ]
    return _document(800, 364, "Cellular batching", parts)


Stretch = tuple[int, int, int, int]
"""A sequence in a slot: (slot, first step, its steps, steps until the slot is free again)."""


def _static(lengths: Sequence[int]) -> Iterator[Stretch]:
    start = 0
    for first in range(0, len(lengths), SLOTS):
        batch = lengths[first : first + SLOTS]
        for slot, steps in enumerate(batch):
            yield slot, start, steps, max(batch)
        start += max(batch)


def _cellular(lengths: Sequence[int]) -> Iterator[Stretch]:
    free = [0] * SLOTS
    for steps in lengths:
        slot = free.index(min(free))
        held = -(-steps // CHUNK) * CHUNK
        yield slot, free[slot], steps, held
        free[slot] += held


def _rows(stretches: Iterator[Stretch], top: float, unit: float) -> tuple[list[str], int]:
    parts, end = [], 0
    for index, (slot, start, steps, held) in enumerate(stretches):
        x, y = 30 + start * unit, top + slot * 34
        end = max(end, start + held)
        if held > steps:
            parts.append(svg.idle(Box(x + steps * unit, y, (held - steps) * unit - 2, 28)))
        parts.append(svg.rectangle(Box(x, y, steps * unit - 2, 28), rx=3, class_=f"a{index % 12}"))
        parts.append(svg.text(x + 6, y + 19, f"{'ABCDEFGHI'[index]}", class_="slot", font_size=12))
    return parts, end


def _text(x: float, y: float, content: str, *, bold: bool = False, soft: bool = False) -> str:
    return svg.text(
        x,
        y,
        content,
        font_size=13 if bold else 12,
        font_weight=600 if bold else 400,
        **({"class_": "soft"} if soft else {}),
    )


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    return svg.line(start, end, class_="axis")


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y) = end
    return _line(start, end) + svg.path(((x - 7, y - 4), (x, y), (x - 7, y + 4)), class_="l6")


def _document(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return svg.document(width, height, title, palette.style_sheet(), *parts)


if __name__ == "__main__":
    main()
