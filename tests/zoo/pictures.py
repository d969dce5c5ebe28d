"""Small pictures and tensors for the tests of the zoo."""

import io

import numpy as np
from PIL import Image

from nexus.core.tensor import DataType, Tensor, TensorSpec, pack_bytes_elements

FINDING_OUTPUTS = (
    TensorSpec("labels", DataType.BYTES, (-1, -1)),
    TensorSpec("scores", DataType.FP32, (-1, -1)),
    TensorSpec("boxes", DataType.INT32, (-1, -1, 4)),
)


def picture(width: int, height: int, colour: tuple[int, int, int] = (10, 20, 30)) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


def image_tensor(*contents: bytes) -> Tensor:
    return Tensor("image", DataType.BYTES, (len(contents),), pack_bytes_elements(contents))


def floats(name: str, values: object) -> Tensor:
    array = np.asarray(values, np.float32)
    return Tensor(name, DataType.FP32, array.shape, array.tobytes())
