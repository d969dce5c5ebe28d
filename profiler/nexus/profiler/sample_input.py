"""An input to measure with, when none is given: made from what the model declares.

Content matters little to a network and much to pre- and post-processing (a busy frame has more
boxes to sort out), so a real input gives the better profile.
"""

import io
import math

import numpy as np
from PIL import Image

from nexus.core.model import Model
from nexus.core.tensor import VARIABLE, DataType, Tensor, TensorSpec, pack_bytes_elements

FRAME_WIDTH = 640
FRAME_HEIGHT = 480
JPEG_QUALITY = 85
VARIABLE_SIZE = 32
"""What stands for a variable size; dimension 0, the batch, is 1."""

_FRAME = TensorSpec("image", DataType.BYTES, (VARIABLE,))


def sample_input(model: Model, seed: int = 0) -> tuple[Tensor, ...]:
    """One item for ``model``: a JPEG frame for BYTES, small numbers for the rest.

    A model that declares no inputs is taken to want one frame, as image handlers do.
    """
    generator = np.random.default_rng(seed)
    return tuple(_tensor(spec, generator) for spec in model.inputs or (_FRAME,))


def _tensor(spec: TensorSpec, generator: np.random.Generator) -> Tensor:
    sizes = (1, *(VARIABLE_SIZE if size == VARIABLE else size for size in spec.shape[1:]))
    shape = sizes[: len(spec.shape)]
    elements = math.prod(shape)
    if spec.datatype is DataType.BYTES:
        content = pack_bytes_elements([_frame(generator)] * elements)
    elif spec.datatype in (DataType.FP32, DataType.FP64, DataType.FP16):
        width = f"<f{spec.datatype.item_bytes}"
        content = generator.standard_normal(elements).astype(width).tobytes()
    else:
        # Zero is a valid value of every other type: a token, a flag, a length.
        content = bytes(elements * spec.datatype.item_bytes)
    return Tensor(spec.name, spec.datatype, shape, content)


def _frame(generator: np.random.Generator) -> bytes:
    """A JPEG with smooth areas and some texture, about as large as a camera's."""
    coarse = generator.integers(0, 256, (FRAME_HEIGHT // 16, FRAME_WIDTH // 16, 3), np.uint8)
    image = Image.fromarray(coarse).resize((FRAME_WIDTH, FRAME_HEIGHT), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
