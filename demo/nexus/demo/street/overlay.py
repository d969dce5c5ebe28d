"""An answered frame with everything that was found drawn on it."""

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from nexus.demo.street.sightings import Line, Object, Sightings

SCALE = 2
"""The picture is drawn larger, so that labels stay small beside what they name."""
FONT_SIZE = 22
LINE_WIDTH = 4
PADDING = 5
VEHICLES = frozenset({"car", "bus", "truck", "motorbike", "bicycle"})
VEHICLE_COLOUR = (255, 176, 32)
TEXT_COLOUR = (64, 200, 255)
OTHER_COLOUR = (200, 200, 200)
PERSON_COLOURS = (
    (120, 220, 90),
    (240, 110, 170),
    (170, 140, 255),
    (90, 220, 200),
    (250, 230, 90),
    (255, 130, 100),
)
INK = (16, 16, 16)

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]


@dataclass(slots=True)
class Canvas:
    """A picture being drawn on; labels already placed are kept clear of."""

    picture: Image.Image
    placed: list[Box]

    def box(self, box: Box, colour: Colour) -> None:
        """An outline in frame pixels."""
        corners = tuple(value * SCALE for value in box)
        draw = ImageDraw.Draw(self.picture)
        draw.rounded_rectangle(corners, radius=6, outline=colour, width=LINE_WIDTH)

    def label(self, box: Box, text: str, colour: Colour) -> None:
        """A filled label on the box's upper edge, or the nearest place that is free."""
        font = ImageFont.load_default(FONT_SIZE)
        draw = ImageDraw.Draw(self.picture)
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        width, height = round(right - left) + 2 * PADDING, round(bottom - top) + 2 * PADDING
        x, y = self._free_place(box, width, height)
        self.placed.append((x, y, x + width, y + height))
        draw.rounded_rectangle((x, y, x + width, y + height), radius=4, fill=colour)
        draw.text((x + PADDING - left, y + PADDING - top), text, font=font, fill=INK)

    def _free_place(self, box: Box, width: int, height: int) -> tuple[int, int]:
        x = max(0, min(box[0] * SCALE, self.picture.width - width))
        low, high = 0, self.picture.height - height
        y = max(low, min(box[1] * SCALE - height, high))
        while y < high and any(
            _overlap((x, y, x + width, y + height), other) for other in self.placed
        ):
            y += height // 2
        return x, min(y, high)


def annotated(content: bytes, sightings: Sightings) -> Image.Image:
    """The encoded frame, twice its size, with boxes, vehicle kinds, identities and text read."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    size = (picture.width * SCALE, picture.height * SCALE)
    canvas = Canvas(picture.resize(size, Image.Resampling.LANCZOS), [])
    marks = [
        *((_box_of(line), f"“{line.text}”", TEXT_COLOUR) for line in sightings.lines),
        *((_box_of(thing), _words(thing), _colour(thing)) for thing in sightings.objects),
    ]
    for box, _, colour in marks:
        canvas.box(box, colour)
    for box, text, colour in marks:
        canvas.label(box, text, colour)
    return canvas.picture


def interest(sightings: Sightings) -> float:
    """How much a frame shows: of all frames, the one that shows most is worth keeping."""
    identified = sum(1.0 for thing in sightings.objects if thing.person or thing.kind)
    kinds = len({thing.label for thing in sightings.objects})
    scores = sum(thing.score for thing in sightings.objects)
    return identified + kinds + scores + bool(sightings.lines)


def _words(thing: Object) -> str:
    if thing.person:
        return f"person #{thing.person}"
    kind = f": {thing.kind}" if thing.kind else ""
    return f"{thing.label} {thing.score:.0%}{kind}"


def _colour(thing: Object) -> Colour:
    if thing.person:
        return PERSON_COLOURS[(thing.person - 1) % len(PERSON_COLOURS)]
    return VEHICLE_COLOUR if thing.label in VEHICLES else OTHER_COLOUR


def _box_of(mark: Line | Object) -> Box:
    region = mark.region
    return (region.x, region.y, region.x + region.width, region.y + region.height)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
