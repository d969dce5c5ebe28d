"""The camera: the same frames in every run, in step with the video, stamped with its clock."""

import io
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from nexus.core.errors import InvalidArgumentError, NotFoundError
from nexus.demo.street.camera import VIDEO, Camera
from nexus.demo.street.stamp import stamp_text, stamped
from nexus.zoo.weights import resolve


def video_missing() -> str:
    try:
        resolve(VIDEO)
    except NotFoundError as error:
        return error.message
    return ""


MISSING = video_missing()
needs_video = pytest.mark.skipif(bool(MISSING), reason=MISSING or "the video is there")


@pytest.mark.parametrize(
    ("clock_s", "text"),
    [(0, "C 00-00-00"), (43_240.9, "C 12-00-40"), (86_399, "C 23-59-59"), (86_400, "C 00-00-00")],
)
def test_camera_stamp_is_the_time_of_day(clock_s: float, text: str) -> None:
    assert stamp_text("C", clock_s) == text


def test_camera_stamp_changes_only_the_lower_left() -> None:
    picture = Image.new("RGB", (640, 272), (90, 120, 60))
    changed = np.argwhere(
        (np.asarray(stamped(picture, "CAM-03 12-00-40")) != (90, 120, 60)).any(axis=2)
    )
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert (left, bottom) == (8, 264)
    assert top > 136
    assert right < 320


@needs_video
def test_camera_frames_are_the_same_in_every_run() -> None:
    first, again = (list(islice(Camera(5.0).frames(), 4)) for _ in range(2))
    assert first == again
    assert [frame.text for frame in first] == ["CAM-03 12-00-00"] * 4
    with Image.open(io.BytesIO(first[0].content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (640, 272))


@needs_video
def test_camera_follows_the_video_whatever_the_rate() -> None:
    slow = list(islice(Camera(1.0).frames(), 3))
    fast = list(islice(Camera(4.0).frames(), 9))
    assert [frame.content for frame in slow] == [frame.content for frame in fast[::4]]


@needs_video
def test_camera_begins_again_at_the_end_of_the_video() -> None:
    frames = list(islice(Camera(0.2, name="A").frames(), 4))  # the video lasts 10 s
    first, third = (np.asarray(Image.open(io.BytesIO(frames[i].content))) for i in (0, 2))
    assert frames[2].text == "A 12-00-10"
    upper = slice(0, 150)  # where no stamp is
    assert np.array_equal(first[upper], third[upper])


def test_camera_needs_a_rate() -> None:
    with pytest.raises(InvalidArgumentError, match="frame rate 0"):
        Camera(0.0)
