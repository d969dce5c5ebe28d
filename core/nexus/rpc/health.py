"""grpc.health.v1 for asyncio servers: Check, List and Watch, by component.

As the specification has it, an unknown name is NOT_FOUND in Check and SERVICE_UNKNOWN in Watch. The
servicer that ships with grpcio-health-checking is not used because it writes to a watcher while it
holds the lock that every change of status needs: one watcher that stops reading would freeze them.
Here a change only wakes the watchers, and each reads the newest status when it gets to it.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nexus.core.errors import NotFoundError, RefusedError
from nexus.rpc.status import abort

SERVICE_NAME = "grpc.health.v1.Health"
WATCHERS_MAX = 1_024
ALIVE = "alive"
"""The name for liveness probes: it serves from the start to the stop, whatever the process lacks
(a routing table, the store), because starting it again would not bring that."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """What serves and what does not; ``""`` is the process as a whole, ``ALIVE`` its event loop."""

    def __init__(self) -> None:
        """Everything else begins as not serving."""
        self._serving: dict[str, bool] = {"": False, ALIVE: True}
        self._watchers: set[asyncio.Event] = set()
        self._stopped = False

    def set(self, service: str, *, serving: bool) -> None:
        """Say whether a service serves; after ``stop`` nothing does, and this changes nothing."""
        self._serving[service] = serving and not self._stopped
        self._wake()

    def serving(self, service: str) -> bool | None:
        """Whether a service serves; None when it is unknown."""
        return self._serving.get(service)

    def stop(self) -> None:
        """Turn everything to not serving, tell the watchers, and end their streams."""
        self._stopped = True
        self._serving = dict.fromkeys(self._serving, False)
        self._wake()

    def register(self, server: grpc.aio.Server) -> None:
        """Add this servicer to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def Check(  # noqa: N802 - the RPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> health_pb2.HealthCheckResponse:
        """The status now; NOT_FOUND for a name that is not a service here."""
        if request.service not in self._serving:
            await abort(context, self._unknown(request.service))
        return self._response(request.service)

    async def List(  # noqa: N802 - the RPC's name
        self,
        request: health_pb2.HealthListRequest,  # noqa: ARG002 - an empty message
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - the RPC's shape
    ) -> health_pb2.HealthListResponse:
        """The status of every service."""
        return health_pb2.HealthListResponse(
            statuses={service: self._response(service) for service in self._serving}
        )

    async def Watch(  # noqa: N802 - the RPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now and at every change; it ends when the server stops."""
        if len(self._watchers) >= WATCHERS_MAX:
            error = RefusedError(f"{WATCHERS_MAX} watchers are open already", reason="queue_full")
            await abort(context, error)
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            async for response in self._statuses(request.service, changed):
                yield response
        finally:
            self._watchers.discard(changed)

    async def _statuses(
        self, service: str, changed: asyncio.Event
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        last = None
        while True:
            changed.clear()
            response = self._response(service)
            if response.status != last:
                last = response.status
                yield response
            if self._stopped:
                return
            await changed.wait()

    def _response(self, service: str) -> health_pb2.HealthCheckResponse:
        serving = self._serving.get(service)
        if serving is None:
            return health_pb2.HealthCheckResponse(status=_SERVICE_UNKNOWN)
        return health_pb2.HealthCheckResponse(status=_SERVING if serving else _NOT_SERVING)

    def _unknown(self, service: str) -> NotFoundError:
        known = ", ".join(repr(name) for name in self._serving)
        return NotFoundError(
            f"health: service {service!r} is not one of {known}", reason="unknown_service"
        )

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()
