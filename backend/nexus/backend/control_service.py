"""The backend's control service: its status, and draining it."""

from collections.abc import Callable
from typing import Any

import grpc.aio

from nexus.core.cluster import BackendStatus
from nexus.rpc.convert_control import status_to_pb
from nexus.v1 import backend_pb2, backend_pb2_grpc

SERVICE_NAME = "nexus.v1.BackendService"


class ControlService(backend_pb2_grpc.BackendServiceServicer):
    """``status`` tells what GetStatus answers, ``drain`` begins a drain and returns at once."""

    def __init__(self, status: Callable[[], BackendStatus], drain: Callable[[], None]) -> None:
        """Serve these two."""
        self._status = status
        self._drain = drain

    async def GetStatus(
        self,
        request: backend_pb2.GetStatusRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> backend_pb2.GetStatusResponse:
        """The status as it is also published in the store."""
        return status_to_pb(self._status())

    async def Drain(
        self,
        request: backend_pb2.DrainRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> backend_pb2.DrainResponse:
        """Take nothing new and finish what is queued; the process goes on until it is ended."""
        self._drain()
        return backend_pb2.DrainResponse()
