"""The client SDK: ``Client`` and ``AsyncClient`` for requests, ``ControlClient`` to declare.

    from nexus.client import Client

    with Client("127.0.0.1:8001") as client:
        result = client.infer("resnet50", {"x": array}, slo_ms=100)
        print(result.array("y"))

Errors are those of ``nexus.core.errors``. numpy and Pillow are optional.
"""

from nexus.client.async_client import AsyncClient
from nexus.client.async_frame_stream import AsyncFrameStream
from nexus.client.client import Client
from nexus.client.control_client import AsyncControlClient, ControlClient
from nexus.client.frame_stream import FrameStream
from nexus.client.frame_window import StreamCounts
from nexus.client.results import (
    Applied,
    Description,
    InferResult,
    ModelInfo,
    ModelMetadata,
    QueryResult,
)
from nexus.client.retry import RetryPolicy

__all__ = [
    "Applied",
    "AsyncClient",
    "AsyncControlClient",
    "AsyncFrameStream",
    "Client",
    "ControlClient",
    "Description",
    "FrameStream",
    "InferResult",
    "ModelInfo",
    "ModelMetadata",
    "QueryResult",
    "RetryPolicy",
    "StreamCounts",
]
