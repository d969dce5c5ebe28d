"""Appearance embeddings: what a crop looks like, as a vector of length one."""

import numpy as np

from nexus.core.errors import InvalidArgumentError
from nexus.core.finding import Region
from nexus.core.model import Model
from nexus.core.request import ItemResult
from nexus.core.tensor import DataType, Tensor
from nexus.zoo.arrays import tensor_from
from nexus.zoo.handler import Array, Sample, stack
from nexus.zoo.image import IMAGENET_MEAN, IMAGENET_SCALE, crops_of, planes

SIDE = 224
OUTPUT = "embedding"


class ImageEmbedder:
    """For networks that give one vector an image; the cosine of two vectors is their likeness."""

    def __init__(self, model: Model) -> None:
        """Raise InvalidArgumentError when another output than ``embedding`` FP32 is declared."""
        outputs = [(spec.name, spec.datatype) for spec in model.outputs]
        if outputs != [(OUTPUT, DataType.FP32)]:
            raise InvalidArgumentError(
                f"model {model.name!r}: handler {model.handler!r} gives one output, "
                f"{OUTPUT} FP32; the model must declare exactly that",
                reason="invalid_model",
            )

    def preprocess(
        self, tensors: tuple[Tensor, ...], regions: tuple[Region, ...]
    ) -> tuple[Sample, ...]:
        """Stretch each image or crop to 224x224; see crops_of for what is refused."""
        return tuple(
            Sample((planes(crop.resized(SIDE, SIDE), IMAGENET_MEAN, IMAGENET_SCALE),))
            for crop in crops_of(tensors, regions)
        )

    def collate(self, samples: tuple[Sample, ...]) -> tuple[Array, ...]:
        """[batch, 3, 224, 224]."""
        return stack(samples)

    def postprocess(
        self,
        outputs: tuple[Array, ...],
        samples: tuple[Sample, ...],  # noqa: ARG002 - the common signature
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        """No findings; ``embedding`` [items, size], each row of length one."""
        vectors = outputs[0]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit_vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return (), (tensor_from(OUTPUT, DataType.FP32, unit_vectors),)
