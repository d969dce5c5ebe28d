"""What a camera writes on its pictures: its name and the time, dark on a light plate.

The plate, the size of the letters and the hyphens in the clock are those that the text recogniser
reads best in Pillow's own font, the one font that is there on every machine: colons come out as
full stops, and light letters on the bare picture are missed.
"""

from PIL import Image, ImageDraw, ImageFont

SIZE = 24
SPACING = 1
PADDING = 10
MARGIN = 8
INK = (20, 20, 20)
PLATE = (235, 235, 235)
SECONDS_PER_DAY = 24 * 3600


def stamp_text(camera: str, clock_s: float) -> str:
    """``CAM-03 12-00-40``: the name and the time of day, ``clock_s`` seconds after midnight."""
    seconds = int(clock_s) % SECONDS_PER_DAY
    return f"{camera} {seconds // 3600:02d}-{seconds // 60 % 60:02d}-{seconds % 60:02d}"


def stamped(picture: Image.Image, text: str) -> Image.Image:
    """A copy of the picture with the text in its lower left corner."""
    result = picture.copy()
    font = ImageFont.load_default(SIZE)
    draw = ImageDraw.Draw(result)
    _, top, _, bottom = font.getbbox("A0-g")
    width = sum(font.getlength(letter) + SPACING for letter in text) + 2 * PADDING
    height = bottom - top + 2 * PADDING
    x, y = MARGIN, picture.height - MARGIN - height
    draw.rectangle((x, y, x + width, y + height), fill=PLATE)
    pen: float = x + PADDING
    for letter in text:
        draw.text((pen, y + PADDING - top), letter, font=font, fill=INK)
        pen += font.getlength(letter) + SPACING
    return result
