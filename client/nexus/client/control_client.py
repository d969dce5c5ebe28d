"""``ControlClient`` and ``AsyncControlClient``: declare resources, look at plans and members."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from nexus.client import operations
from nexus.client.connection import settings_for
from nexus.client.results import Applied, Description
from nexus.client.retry import RetryPolicy
from nexus.client.transport import AsyncTransport, Transport
from nexus.core.cluster import ClusterView
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.rpc.convert_control import Declared
from nexus.rpc.limits import MESSAGE_BYTES_MAX


class ControlClient:
    """A connection to the control service, which the schedulers serve."""

    def __init__(self, addresses: str | Sequence[str], *, retry: RetryPolicy | None = None) -> None:
        """Open no connection yet; several schedulers are used in turn."""
        settings = settings_for(addresses, 1, MESSAGE_BYTES_MAX)
        self._transport = Transport(settings, retry or RetryPolicy())

    def apply(
        self,
        yaml: str = "",
        resources: Sequence[Declared] = (),
        *,
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> tuple[Applied, ...]:
        """Declare resources from YAML text, from objects, or both: all of them or none."""
        return self._transport.run(operations.apply(yaml, resources, dry_run=dry_run), timeout_s)

    def get(self, kind: str, name: str, *, timeout_s: float | None = None) -> Declared:
        """One declared resource; raise NotFoundError when there is none of that name."""
        return self._transport.run(operations.get(kind, name), timeout_s)

    def list(self, kind: str = "", *, timeout_s: float | None = None) -> tuple[Declared, ...]:
        """All declared resources of a kind, or of every kind."""
        return self._transport.run(operations.list_resources(kind), timeout_s)

    def describe(self, kind: str, name: str, *, timeout_s: float | None = None) -> Description:
        """A resource and what the cluster made of it."""
        return self._transport.run(operations.describe(kind, name), timeout_s)

    def delete(self, kind: str, name: str, *, timeout_s: float | None = None) -> None:
        """Remove a resource; raise FailedPreconditionError when another one needs it."""
        self._transport.run(operations.delete(kind, name), timeout_s)

    def plan(self, *, timeout_s: float | None = None) -> Plan:
        """The newest published plan."""
        return self._transport.run(operations.plan(), timeout_s)

    def routing_table(self, *, timeout_s: float | None = None) -> RoutingTable:
        """The newest published routing table."""
        return self._transport.run(operations.routing_table(), timeout_s)

    def cluster(self, *, timeout_s: float | None = None) -> ClusterView:
        """Who is there and who leads."""
        return self._transport.run(operations.cluster(), timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncControlClient:
    """The twin of ``ControlClient`` for asyncio."""

    def __init__(self, addresses: str | Sequence[str], *, retry: RetryPolicy | None = None) -> None:
        """As ``ControlClient``; create it where an event loop runs."""
        settings = settings_for(addresses, 1, MESSAGE_BYTES_MAX)
        self._transport = AsyncTransport(settings, retry or RetryPolicy())

    async def apply(
        self,
        yaml: str = "",
        resources: Sequence[Declared] = (),
        *,
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> tuple[Applied, ...]:
        """As ``ControlClient.apply``."""
        operation = operations.apply(yaml, resources, dry_run=dry_run)
        return await self._transport.run(operation, timeout_s)

    async def get(self, kind: str, name: str, *, timeout_s: float | None = None) -> Declared:
        """As ``ControlClient.get``."""
        return await self._transport.run(operations.get(kind, name), timeout_s)

    async def list(self, kind: str = "", *, timeout_s: float | None = None) -> tuple[Declared, ...]:
        """As ``ControlClient.list``."""
        return await self._transport.run(operations.list_resources(kind), timeout_s)

    async def describe(
        self, kind: str, name: str, *, timeout_s: float | None = None
    ) -> Description:
        """As ``ControlClient.describe``."""
        return await self._transport.run(operations.describe(kind, name), timeout_s)

    async def delete(self, kind: str, name: str, *, timeout_s: float | None = None) -> None:
        """As ``ControlClient.delete``."""
        await self._transport.run(operations.delete(kind, name), timeout_s)

    async def plan(self, *, timeout_s: float | None = None) -> Plan:
        """As ``ControlClient.plan``."""
        return await self._transport.run(operations.plan(), timeout_s)

    async def routing_table(self, *, timeout_s: float | None = None) -> RoutingTable:
        """As ``ControlClient.routing_table``."""
        return await self._transport.run(operations.routing_table(), timeout_s)

    async def cluster(self, *, timeout_s: float | None = None) -> ClusterView:
        """As ``ControlClient.cluster``."""
        return await self._transport.run(operations.cluster(), timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
