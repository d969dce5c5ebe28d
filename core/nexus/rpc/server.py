"""The one place that builds a gRPC server: limits, error guard, health, reflection.

Reflection answers from our private descriptor pool (ADR 0004), into which the descriptors of
grpc.health.v1 are copied, so that one pool knows every service here.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from nexus import protobuf_pool
from nexus.core.errors import FailedPreconditionError
from nexus.rpc import health
from nexus.rpc.guard import CALLS_MAX, Guard
from nexus.rpc.limits import MESSAGE_BYTES_MAX, keepalive_options, message_options

logger = logging.getLogger(__name__)

ServicerT = TypeVar("ServicerT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What a server bounds.

    ``connection_age_s`` closes connections of that age gracefully, so that clients spread over new
    frontends behind a load balancer; None keeps them for ever. ``shared_port`` lets several
    processes listen on one port (SO_REUSEPORT).
    """

    message_bytes: int = MESSAGE_BYTES_MAX
    calls: int = CALLS_MAX
    connection_age_s: int | None = None
    connection_age_grace_s: int = 30
    shared_port: bool = False


class RpcServer:
    """A gRPC server of this process. Make it where the event loop runs."""

    def __init__(
        self,
        limits: ServerLimits | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        """``interceptors`` see a call before the error guard does, in their order."""
        limits = limits or ServerLimits()
        self.health = health.Health()
        self.address = ""
        self._guard = Guard(limits.calls)
        self._services: list[str] = []
        self._server = grpc.aio.server(
            interceptors=(*interceptors, self._guard), options=_options(limits)
        )

    @property
    def open_calls(self) -> int:
        """Calls being handled now."""
        return self._guard.open_calls

    def add(
        self,
        register: Callable[[ServicerT, grpc.aio.Server], None],
        servicer: ServicerT,
        service: str,
    ) -> None:
        """Serve a service: the generated ``add_…Servicer_to_server``, ours, and its full name.

        It begins as not serving in ``health``; say ``health.set(service, serving=True)`` when it
        does.
        """
        protobuf_pool.Default().FindServiceByName(service)
        register(servicer, self._server)
        self._services.append(service)
        self.health.set(service, serving=False)

    async def start(self, address: str) -> str:
        """Listen on ``HOST:PORT`` (port 0 takes a free one) and return the bound ``HOST:PORT``.

        Raises:
            FailedPreconditionError: the address cannot be listened on.
        """
        self.health.register(self._server)
        _enable_reflection(self._server, self._services)
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise FailedPreconditionError(
                f"cannot listen on {address}: {error}; is another server there already?",
                reason="cannot_listen",
            ) from error
        await self._server.start()
        self.address = f"{address.rpartition(':')[0]}:{port}"
        logger.info("listening address=%s services=%s", self.address, ",".join(self._services))
        return self.address

    async def stop(self, grace_s: float) -> None:
        """Turn unhealthy, take no new calls, and give the open ones ``grace_s`` to end."""
        self.health.stop()
        await self._server.stop(grace_s)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()


def _options(limits: ServerLimits) -> list[tuple[str, int]]:
    options = [
        *message_options(limits.message_bytes),
        *keepalive_options(),
        ("grpc.so_reuseport", int(limits.shared_port)),
    ]
    if limits.connection_age_s is not None:
        options += [
            ("grpc.max_connection_age_ms", limits.connection_age_s * 1_000),
            ("grpc.max_connection_age_grace_ms", limits.connection_age_grace_s * 1_000),
        ]
    return options


def _enable_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    pool = protobuf_pool.Default()
    for foreign in (health_pb2, reflection_pb2):
        # Adding the same file again changes nothing.
        pool.AddSerializedFile(foreign.DESCRIPTOR.serialized_pb)
    names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=pool)
