"""Encoded images to crops: what is refused, and that pixels land where they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.errors import InvalidArgumentError
from nexus.core.finding import Region
from nexus.core.tensor import DataType, Tensor
from nexus.zoo import image as image_module
from nexus.zoo.image import Crop, clipped, crops_of, decode
from nexus.zoo.letterbox import letterboxed, region_from
from tests.zoo.pictures import encode, floats, image_tensor, picture

JPEG = encode(picture(40, 30), "JPEG")
SIDES = st.integers(1, 400)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"not an image", "12 bytes are not an image"),
        (JPEG[: len(JPEG) // 2], "corrupt"),
        (JPEG[:40], "not an image|corrupt"),
        (encode(picture(4, 4), "GIF"), "JPEG and PNG"),
    ],
)
def test_image_unusable_content_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        decode(content)


@pytest.mark.parametrize("pixels_max", [1199, 10])
def test_image_too_large_is_refused_before_decoding(
    monkeypatch: pytest.MonkeyPatch, pixels_max: int
) -> None:
    monkeypatch.setattr(image_module, "IMAGE_PIXELS_MAX", pixels_max)
    with pytest.raises(InvalidArgumentError, match=r"too large \(40x30\)"):
        decode(JPEG)


def test_image_each_element_is_an_item() -> None:
    crops = crops_of((image_tensor(JPEG, encode(picture(5, 6))),), ())
    assert [(c.region.width, c.region.height) for c in crops] == [(40, 30), (5, 6)]


def test_image_is_decoded_once_for_all_regions() -> None:
    crops = crops_of((image_tensor(JPEG),), (Region(0, 0, 5, 5), Region(1, 1, 5, 5)))
    assert crops[0].frame is crops[1].frame


def test_image_regions_of_several_images_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="one frame"):
        crops_of((image_tensor(JPEG, JPEG),), (Region(0, 0, 5, 5),))


@pytest.mark.parametrize(
    "tensors",
    [
        (),
        (floats("image", [[1.0]]),),
        (image_tensor(JPEG), image_tensor(JPEG)),
        (Tensor("image", DataType.BYTES, (0,), b""),),
    ],
)
def test_image_tensor_that_holds_no_image_is_refused(tensors: tuple[Tensor, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="image"):
        crops_of(tensors, ())


def test_image_region_is_clipped_to_the_frame() -> None:
    assert clipped(Region(-5, -5, 10, 50), 40, 30) == Region(0, 0, 5, 30)


@pytest.mark.parametrize("region", [Region(40, 0, 5, 5), Region(0, -5, 5, 5)])
def test_image_region_outside_is_named(region: Region) -> None:
    with pytest.raises(InvalidArgumentError, match=r"region 5x5 at .* outside the frame of 40x30"):
        clipped(region, 40, 30)


def test_image_crop_shows_the_pixels_of_its_region() -> None:
    frame = picture(20, 10)
    frame.paste((200, 100, 50), (4, 2, 8, 6))
    pixels = Crop(frame, Region(4, 2, 4, 4)).resized(4, 4)
    assert pixels.shape == (4, 4, 3)
    assert (pixels == (200, 100, 50)).all()


@given(SIDES, SIDES, st.integers(0, 50), st.integers(0, 50))
def test_letterbox_corners_come_back(width: int, height: int, x: int, y: int) -> None:
    region = Region(x, y, width, height)
    crop = Crop(picture(width + x, height + y), region)
    pixels, letterbox = letterboxed(crop, 96, 64, fill=127)
    assert pixels.shape == (64, 96, 3)
    inside = np.argwhere((pixels == (10, 20, 30)).all(axis=2))
    (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
    corners = letterbox.to_frame(np.array([[left, top, right, bottom]], np.float32))
    np.testing.assert_allclose(corners[0], (x, y, x + width, y + height), atol=1e-2)


def test_letterbox_boxes_are_clipped_to_the_crop() -> None:
    _, letterbox = letterboxed(Crop(picture(50, 50), Region(10, 10, 20, 20)), 64, 64, fill=0)
    corners = letterbox.to_frame(np.array([[-9, -9, 99, 99]], np.float32))
    assert region_from(corners[0]) == Region(10, 10, 20, 20)
