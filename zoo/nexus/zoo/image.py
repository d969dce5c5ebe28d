"""Encoded images to pixels: decoded once for a dispatch, then cropped and resized for each item."""

import io
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nexus.core.errors import InvalidArgumentError
from nexus.core.finding import Region
from nexus.core.tensor import DataType, Tensor
from nexus.zoo.arrays import bytes_elements

FORMATS = ("JPEG", "PNG")
IMAGE_PIXELS_MAX = 50_000_000
"""Larger images are refused before they are decoded: they would fill the memory."""

IMAGENET_MEAN = np.array((123.675, 116.28, 103.53), np.float32)
IMAGENET_SCALE = np.float32(1) / np.array((58.395, 57.12, 57.375), np.float32)
"""Mean and inverse deviation of each colour over ImageNet, for ``planes``."""

Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a decoded frame; ``region`` lies inside the frame, in its pixels."""

    frame: Image.Image
    region: Region

    def resized(self, width: int, height: int) -> Pixels:
        """The part, stretched to a size: [height, width, 3] for a colour frame."""
        region = self.region
        box = (region.x, region.y, region.x + region.width, region.y + region.height)
        image = self.frame.resize((width, height), Image.Resampling.BILINEAR, box=box)
        return np.asarray(image, dtype=np.uint8)


def crops_of(
    tensors: tuple[Tensor, ...], regions: tuple[Region, ...], *, mode: str = "RGB"
) -> tuple[Crop, ...]:
    """The items of a request: the regions of its one image, or else each of its images whole.

    ``mode`` is Pillow's: RGB, or L for grey.

    Raises:
        InvalidArgumentError: there is not exactly one BYTES tensor (of one image, with regions),
            an image is empty, corrupt, too large or of another format, or a region lies outside.
    """
    images = _encoded_images(tensors)
    if not regions:
        return tuple(_whole(decode(image, mode)) for image in images)
    if len(images) != 1:
        raise InvalidArgumentError(
            f"{len(regions)} regions need one frame to be taken from, got {len(images)} images",
            reason="invalid_input",
        )
    frame = decode(images[0], mode)
    return tuple(Crop(frame, clipped(region, *frame.size)) for region in regions)


def decode(content: bytes, mode: str = "RGB") -> Image.Image:
    """A JPEG or PNG as pixels; raise InvalidArgumentError when it cannot be used."""
    if not content:
        raise InvalidArgumentError("the image is empty (0 bytes)", reason="invalid_image")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > IMAGE_PIXELS_MAX:
            raise _too_large(f"{image.width}x{image.height}")
        return image.convert(mode)
    except UnidentifiedImageError as error:
        raise InvalidArgumentError(
            f"{len(content)} bytes are not an image; {' and '.join(FORMATS)} are understood",
            reason="invalid_image",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(str(error)) from error
    except (OSError, SyntaxError, ValueError, IndexError) as error:  # what Pillow's decoders raise
        raise InvalidArgumentError(
            f"the image is corrupt: {error}", reason="invalid_image"
        ) from error


def clipped(region: Region, width: int, height: int) -> Region:
    """The part of a region inside a frame; raise InvalidArgumentError when nothing is."""
    left, top = max(region.x, 0), max(region.y, 0)
    right, bottom = min(region.x + region.width, width), min(region.y + region.height, height)
    if right <= left or bottom <= top:
        raise InvalidArgumentError(
            f"region {region.width}x{region.height} at ({region.x}, {region.y}) lies outside the "
            f"frame of {width}x{height}",
            reason="empty_region",
        )
    return Region(left, top, right - left, bottom - top)


def planes(
    pixels: Pixels, mean: float | NDArray[np.float32], scale: float | NDArray[np.float32]
) -> NDArray[np.float32]:
    """[height, width, 3] bytes as (pixel - mean) * scale in [3, height, width] float32."""
    # Whole planes in place: many times faster than arithmetic over the short last dimension.
    result = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
    result -= np.reshape(mean, (-1, 1, 1))
    result *= np.reshape(scale, (-1, 1, 1))
    return result


def _encoded_images(tensors: tuple[Tensor, ...]) -> list[bytes]:
    if len(tensors) != 1 or tensors[0].datatype is not DataType.BYTES:
        given = [f"{tensor.name}: {tensor.datatype.value}" for tensor in tensors]
        raise InvalidArgumentError(
            f"an image model takes one BYTES tensor of encoded images, got {given}",
            reason="invalid_input",
        )
    images = bytes_elements(tensors[0])
    if not images:
        raise InvalidArgumentError(
            f"tensor {tensors[0].name!r} holds no image", reason="invalid_input"
        )
    return images


def _whole(frame: Image.Image) -> Crop:
    return Crop(frame, Region(0, 0, frame.width, frame.height))


def _too_large(size: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"the image is too large ({size}); at most {IMAGE_PIXELS_MAX} pixels are decoded",
        reason="image_too_large",
    )
