"""One row of a plan's picture: a device, one turn of its duty cycle, and how full it is.

Coloured slots are batches; what is hatched is idle. Cycles have different lengths, so a row is
drawn in shares of its own, and the length is written beside it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nexus.core.names import SessionName
from nexus.drawing import svg
from nexus.drawing.plan_rows import Row, Slot
from nexus.drawing.svg import Box

LABEL_WIDTH = 168
CYCLE_LEFT, CYCLE_WIDTH = 180, 688
OCCUPANCY_LEFT, OCCUPANCY_WIDTH = 892, 104
ROW_WIDTH = 1048
TWO_LINES = 36
"""Rows at least this tall have a second line in their slots."""
GAP_FROM = 2.0
"""Slots narrower than this touch their neighbours: a gap would be half of them."""
OVERFULL = 1.0005
"""Occupancy from which a device has more work than time, rounding aside."""
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Pitch:
    """How tall rows are, and the size of their letters."""

    row: float
    gap: float
    font: float

    def base(self, y: float) -> float:
        """The baseline of a line in the middle of the row at ``y``."""
        return y + self.row / 2 + self.font * 0.36


def row_picture(row: Row, y: float, pitch: Pitch, colours: Mapping[SessionName, str]) -> str:
    """The row with its left end at 0 and its top at ``y``; ``colours`` are classes by session."""
    return "".join((*_labels(row, y, pitch), *_cycle(row, y, pitch, colours)))


def facts(slot: Slot) -> str:
    """The second line of a slot."""
    if slot.spare:
        return "spare"
    if not slot.batch:
        return f"{slot.end - slot.begin:.0%} of the time"
    return f"{TIMES}{slot.batch} · {slot.latency_ms:.3g} ms"


def _labels(row: Row, y: float, pitch: Pitch) -> Iterator[str]:
    base = pitch.base(y)
    cycle = f"{row.duty_cycle_ms:.3g} ms"
    label = svg.shortened(row.label, LABEL_WIDTH - 74, pitch.font)
    numbers: dict[str, str | float] = {"font_size": pitch.font, "text_anchor": "end"}
    yield svg.text(0, base, label, font_size=pitch.font)
    yield svg.text(LABEL_WIDTH, base, cycle, class_="soft", **numbers)
    kind = "warn" if row.occupancy > OVERFULL else "plain"
    yield svg.text(ROW_WIDTH, base, f"{row.occupancy:.0%}", class_=kind, **numbers)
    height = min(8.0, pitch.row * 0.6)
    whole = Box(OCCUPANCY_LEFT, y + (pitch.row - height) / 2, OCCUPANCY_WIDTH, height)
    full = Box(whole.x, whole.y, min(1.0, max(0.0, row.occupancy)) * whole.width, height)
    yield svg.rectangle(whole, rx=height / 2, class_="track")
    yield svg.rectangle(full, rx=height / 2, class_="bar")


def _cycle(row: Row, y: float, pitch: Pitch, colours: Mapping[SessionName, str]) -> Iterator[str]:
    yield svg.titled(_idle_text(row), svg.idle(Box(CYCLE_LEFT, y, CYCLE_WIDTH, pitch.row), 3))
    for slot in row.slots:
        left = CYCLE_LEFT + slot.begin * CYCLE_WIDTH
        width = max(0.0, (slot.end - slot.begin) * CYCLE_WIDTH)
        gap = 1.0 if width > GAP_FROM else 0.0
        box = Box(left, y, width - gap, pitch.row)
        fills = [_outline(box)] if slot.spare else list(_bands(slot, box, colours))
        yield svg.titled(_slot_text(slot), *fills, *_words(slot, box, pitch))


def _outline(box: Box) -> str:
    inner = Box(box.x + 1, box.y + 1, max(0.0, box.width - 2), max(0.0, box.height - 2))
    return svg.rectangle(inner, rx=3, class_="spare")


def _bands(slot: Slot, box: Box, colours: Mapping[SessionName, str]) -> Iterator[str]:
    """One colour, or bands on top of one another for sessions batched together."""
    height = box.height / len(slot.sessions)
    for index, session in enumerate(slot.sessions):
        band = Box(box.x, box.y + index * height, box.width, height)
        yield svg.rectangle(band, class_=colours[session])


def _words(slot: Slot, box: Box, pitch: Pitch) -> Iterator[str]:
    """As much as fits: session, batch size and time; the size alone; or nothing."""
    name, about, room, size = " + ".join(slot.sessions), facts(slot), box.width - 11, pitch.font
    style = "plain" if slot.spare else "slot"
    if pitch.row < TWO_LINES:
        line = svg.that_fits((f"{name}  {about}", name, about.partition(" ")[0]), room, size)
        yield svg.text(box.x + 5, pitch.base(box.y), line, font_size=size, class_=style)
        return
    first = svg.shortened(name, room, size, bold=True)
    if len(first) >= min(len(name), 4):
        bold = {"font_size": size, "font_weight": 600}
        yield svg.text(box.x + 6, box.y + 16, first, class_=style, **bold)
    second = svg.that_fits((about, about.partition(" ")[0]), room, size - 1)
    yield svg.text(box.x + 6, box.y + 30.5, second, font_size=size - 1, class_=style)


def _slot_text(slot: Slot) -> str:
    names = " + ".join(slot.sessions)
    if slot.spare:
        return f"{names}: spare, loaded but not counted on"
    share = f"{slot.end - slot.begin:.0%} of the cycle, {slot.rate:.1f}/s"
    if not slot.batch:
        return f"{names}: {share}"
    return f"{names}: batch {slot.batch} in {slot.latency_ms:.4g} ms, {share}"


def _idle_text(row: Row) -> str:
    end = max((slot.end for slot in row.slots if not slot.spare), default=0.0)
    return f"{row.label}: idle {1 - end:.0%} of a cycle of {row.duty_cycle_ms:.4g} ms"
