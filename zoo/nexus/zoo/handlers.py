"""The handlers there are, by the name that ``Model.handler`` gives."""

from collections.abc import Callable
from typing import cast

from nexus.core.model import Model
from nexus.zoo.handler import Handler
from nexus.zoo.registry import Registry

HANDLERS = Registry(
    group="nexus.handlers",
    kind="handler",
    builtin={
        "tensors": "nexus.zoo.tensor_handler:TensorHandler",
        "yolo_detector": "nexus.zoo.yolo_detector:YoloDetector",
        "image_classifier": "nexus.zoo.image_classifier:ImageClassifier",
        "image_embedder": "nexus.zoo.image_embedder:ImageEmbedder",
        "text_detector": "nexus.zoo.text_detector:TextDetector",
        "text_recognizer": "nexus.zoo.text_recognizer:TextRecognizer",
    },
)


def handler_for(model: Model) -> Handler:
    """The handler of a model, made from the model's declaration.

    Raises:
        NotFoundError: no handler has the name in ``model.handler``.
        InvalidArgumentError: the model's parameters are not what the handler needs.
    """
    make = cast("Callable[[Model], Handler]", HANDLERS.load(model.handler))
    return make(model)
