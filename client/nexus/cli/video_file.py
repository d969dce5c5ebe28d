"""Frames of a video file as JPEG, paced like a camera or as fast as they are wanted."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nexus.core.errors import InvalidArgumentError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
JPEG_QUALITY = 90
DEFAULT_FPS = 25.0


def is_image(path: Path) -> bool:
    """Whether a file is one image, by its name."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def jpeg_frames(path: Path, *, fps: float | None, paced: bool) -> Iterator[bytes]:
    """Yield every frame of a video; needs the ``video`` extra.

    Args:
        path: any file that FFmpeg reads.
        fps: frames a second when paced; None takes the video's own.
        paced: sleep between frames, as a camera would.

    Raises:
        InvalidArgumentError: it is not a video, or has no video stream.
    """
    import av  # noqa: PLC0415 - optional: only where a video is sent

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InvalidArgumentError(f"{path} has no video stream")
            stream = container.streams.video[0]
            period_s = 1 / (fps or float(stream.average_rate or DEFAULT_FPS))
            yield from _paced(container.decode(stream), period_s if paced else 0.0)
    except (av.FFmpegError, OSError) as error:
        raise InvalidArgumentError(f"{path} cannot be read as a video: {error}") from error


def _paced(frames: Iterator[Any], period_s: float) -> Iterator[bytes]:
    due_s = time.monotonic()
    for frame in frames:
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s += period_s
        encoded = io.BytesIO()
        frame.to_image().save(encoded, "JPEG", quality=JPEG_QUALITY)
        yield encoded.getvalue()
