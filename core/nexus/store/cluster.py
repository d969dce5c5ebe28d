"""ClusterStore: the cluster's state, typed. The only reader and writer of the keys in ``keys``.

Values are the JSON of ``nexus.core.document``. What cannot be read is logged with its key and
skipped, never fatal: one bad value, or one of a newer version, must not stop a cluster.
"""

import logging
from typing import TypeVar, cast

from nexus.core.cluster import BackendStatus, Catalogue, FrontendReport
from nexus.core.document import from_json, to_json
from nexus.core.errors import DocumentError
from nexus.core.model import Model
from nexus.core.names import BackendName, FrontendName, require_name
from nexus.core.plan import Plan
from nexus.core.profile import Profile
from nexus.core.query import Query
from nexus.core.routing import RoutingTable
from nexus.core.session import Session
from nexus.store.base import Store, Subscription
from nexus.store.keys import Keys, ResourceKind

DEFAULT_CLUSTER = "default"
STATUS_TTL_US = 3_000_000
"""A process that has not reported for so long is gone. Each reports every second."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class ClusterStore:
    """One cluster's declared and observed state, plan and routing table.

    Every method raises UnavailableError when the store is away; callers go on with what they have.
    """

    def __init__(self, store: Store, cluster: str = DEFAULT_CLUSTER) -> None:
        """Raise InvalidArgumentError on a cluster name that is not a name."""
        require_name("cluster", cluster)
        self._store = store
        self._keys = Keys(cluster)
        self._catalogue: Catalogue | None = None
        self._reported: dict[str, object] = {}
        self._read_last: dict[str, tuple[bytes, object]] = {}

    # Declared resources.

    async def catalogue(self) -> Catalogue:
        """Everything declared. Cheap to poll: unchanged, it costs one small read."""
        # The version is read before the resources. A write in between makes them newer than their
        # label, so the next poll reads them again; the other order could miss a write for good.
        version = await self._catalogue_version()
        if self._catalogue is None or self._catalogue.version != version:
            self._catalogue = Catalogue(
                models=await self._resources(ResourceKind.MODEL, Model),
                sessions=await self._resources(ResourceKind.SESSION, Session),
                queries=await self._resources(ResourceKind.QUERY, Query),
                profiles=await self._resources(ResourceKind.PROFILE, Profile),
                version=version,
            )
        return self._catalogue

    async def put_model(self, model: Model) -> None:
        """Declare, or replace, a model."""
        await self._put_resource(ResourceKind.MODEL, model.name, model)

    async def put_session(self, session: Session) -> None:
        """Declare, or replace, a session."""
        await self._put_resource(ResourceKind.SESSION, session.name, session)

    async def put_query(self, query: Query) -> None:
        """Declare, or replace, a query."""
        await self._put_resource(ResourceKind.QUERY, query.name, query)

    async def put_profile(self, profile: Profile) -> None:
        """Declare, or replace, the profile of a model on a device type."""
        name = f"{profile.model}/{profile.device}"
        await self._put_resource(ResourceKind.PROFILE, name, profile)

    async def delete(self, kind: ResourceKind, name: str) -> bool:
        """Remove a resource and say whether it was there; a profile's name is MODEL/DEVICE."""
        key = self._keys.resource(kind, name)
        existed = await self._store.delete(key, counter=self._keys.catalogue_version)
        await self._store.notify(self._keys.catalogue_channel)
        return existed

    # What the scheduler publishes.

    async def plan(self) -> Plan:
        """The newest plan; ``Plan()``, version 0, when none was published."""
        return await self._read(self._keys.plan, Plan) or Plan()

    async def publish_plan(self, plan: Plan, fence: int) -> None:
        """Replace the plan; raise FencedError when a newer leader has written one."""
        await self._store.put_fenced(self._keys.plan, to_json(plan), fence)
        await self._store.notify(self._keys.plan_channel)

    async def table(self) -> RoutingTable:
        """The newest routing table; ``RoutingTable()``, version 0, when none was published."""
        return await self._read(self._keys.table, RoutingTable) or RoutingTable()

    async def publish_table(self, table: RoutingTable, fence: int) -> None:
        """Replace the routing table; raise FencedError when a newer leader has written one."""
        await self._store.put_fenced(self._keys.table, to_json(table), fence)
        await self._store.notify(self._keys.table_channel)

    async def acquire_scheduler_lease(self, holder: str, ttl_us: int, above: int = 0) -> int | None:
        """Become or stay the leader; return the fencing number, None while another leads.

        A new number is greater than ``above``, the greatest under which this process has published.
        """
        return await self._store.acquire_lease(self._keys.scheduler_lease, holder, ttl_us, above)

    async def release_scheduler_lease(self, holder: str) -> None:
        """Stop leading at once, so that a standby need not wait for the lease to end."""
        await self._store.release_lease(self._keys.scheduler_lease, holder)

    # What frontends and backends report.

    async def backends(self) -> tuple[BackendStatus, ...]:
        """The live backends, sorted by name."""
        return await self._read_all(self._keys.backends, BackendStatus)

    async def report_backend(self, status: BackendStatus) -> None:
        """Write a status, which expires after STATUS_TTL_US.

        Readers are woken only when it says something to act on, not by each measurement.
        """
        key = self._keys.backends + status.backend
        acted_on = (
            status.incarnation,
            status.address,
            status.state,
            status.plan_version,
            status.loaded,
            dict(status.failed),
        )
        await self._report(key, to_json(status), acted_on)

    async def forget_backend(self, name: BackendName) -> None:
        """Remove the status of a backend that leaves in order."""
        await self._forget(self._keys.backends + name)

    async def frontends(self) -> tuple[FrontendReport, ...]:
        """The live frontends, sorted by name."""
        return await self._read_all(self._keys.frontends, FrontendReport)

    async def report_frontend(self, report: FrontendReport) -> None:
        """Write a report, which expires after STATUS_TTL_US.

        A newer table, or a backend that was lost or is back, wakes readers.
        """
        key = self._keys.frontends + report.frontend
        acted_on = (report.incarnation, report.table_version, report.lost)
        await self._report(key, to_json(report), acted_on)

    async def forget_frontend(self, name: FrontendName) -> None:
        """Remove the report of a frontend that leaves in order."""
        await self._forget(self._keys.frontends + name)

    # Waiting for changes. Close what these return.

    def subscribe_plan(self) -> Subscription:
        """Wakes when a plan is published."""
        return self._store.subscribe(self._keys.plan_channel)

    def subscribe_table(self) -> Subscription:
        """Wakes when a routing table is published."""
        return self._store.subscribe(self._keys.table_channel)

    def subscribe_catalogue(self) -> Subscription:
        """Wakes when a resource is declared, replaced or removed."""
        return self._store.subscribe(self._keys.catalogue_channel)

    def subscribe_status(self) -> Subscription:
        """Wakes when a backend or frontend comes, leaves in order, or reports a change."""
        return self._store.subscribe(self._keys.status_channel)

    async def _catalogue_version(self) -> int:
        content = await self._store.get(self._keys.catalogue_version)
        return 0 if content is None else int(content)

    async def _put_resource(self, kind: ResourceKind, name: str, resource: object) -> None:
        key = self._keys.resource(kind, name)
        await self._store.put(key, to_json(resource), counter=self._keys.catalogue_version)
        await self._store.notify(self._keys.catalogue_channel)

    async def _resources(self, kind: ResourceKind, target: type[T]) -> tuple[T, ...]:
        return await self._read_all(self._keys.resources(kind), target)

    async def _report(self, key: str, content: bytes, acted_on: object) -> None:
        await self._store.put(key, content, ttl_us=STATUS_TTL_US)
        if self._reported.get(key) != acted_on:
            await self._store.notify(self._keys.status_channel)
            self._reported[key] = acted_on

    async def _forget(self, key: str) -> None:
        self._reported.pop(key, None)
        await self._store.delete(key)
        await self._store.notify(self._keys.status_channel)

    async def _read(self, key: str, target: type[T]) -> T | None:
        """What lies under a key; the same object as last time while it is unchanged."""
        content = await self._store.get(key)
        if content is None:
            return None
        last = self._read_last.get(key)
        if last is None or last[0] != content:
            last = (content, _parse(key, content, target))
            self._read_last[key] = last
        return cast("T | None", last[1])

    async def _read_all(self, prefix: str, target: type[T]) -> tuple[T, ...]:
        contents = await self._store.scan(prefix)
        parsed = (_parse(key, content, target) for key, content in contents.items())
        return tuple(value for value in parsed if value is not None)


def _parse(key: str, content: bytes, target: type[T]) -> T | None:
    try:
        return from_json(target, content, key)
    except DocumentError as error:
        _log.warning("stored value skipped", extra={"key": key, "error": error.message})
        return None
