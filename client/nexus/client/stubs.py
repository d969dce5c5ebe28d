"""The services of one channel, sync or aio: the generated stubs side by side."""

from typing import Any

import grpc
import grpc.aio

from nexus.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from nexus.v1.control_pb2_grpc import ControlServiceStub
from nexus.v1.query_pb2_grpc import QueryServiceStub


class Stubs:
    """Every service we call, over one channel. Typed as the sync stubs; aio ones mirror them."""

    def __init__(self, channel: grpc.Channel | grpc.aio.Channel) -> None:
        """Make the stubs; no call is sent."""
        any_channel: Any = channel
        self.inference: GRPCInferenceServiceStub = GRPCInferenceServiceStub(any_channel)
        self.query: QueryServiceStub = QueryServiceStub(any_channel)
        self.control: ControlServiceStub = ControlServiceStub(any_channel)
