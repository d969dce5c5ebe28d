"""The store in virtual time: what is published, what is reported and expires, and the lease.

Others call it over lanes, so its delay, a partition from it and its own outages are the network's.
Publications reach their readers by the notification; who missed one gets it with its next report,
as the pollers of the real processes do.
"""

from typing import Protocol

from nexus.core.cluster import BackendStatus, Catalogue, FrontendReport
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.scheduler.leadership import LEASE_TTL_US
from nexus.simulator.network import Network
from nexus.simulator.process import Process
from nexus.simulator.world import World
from nexus.store.cluster import STATUS_TTL_US

STORE = "store"


class PlanReader(Protocol):
    """A backend, to the store."""

    name: str
    plan_seen: Plan

    def read_plan(self, plan: Plan) -> None:
        """A publication was read."""
        ...


class TableReader(Protocol):
    """A frontend, to the store."""

    name: str
    table_seen: RoutingTable

    def read_table(self, table: RoutingTable) -> None:
        """A publication was read."""
        ...


class Woken(Protocol):
    """A scheduler, to the store."""

    name: str

    def wake(self) -> None:
        """Something has changed that may call for action."""
        ...


class SimulatedStore(Process):
    """What the real one holds. The methods run at the store: reach them through ``Network``."""

    def __init__(self, world: World, network: Network, catalogue: Catalogue) -> None:
        """Nothing is published; ``catalogue`` is declared."""
        super().__init__(world, STORE, 1)
        self.catalogue = catalogue
        self.plan = Plan()
        self.table = RoutingTable()
        self._network = network
        self._statuses: dict[str, tuple[int, BackendStatus]] = {}
        self._reports: dict[str, tuple[int, FrontendReport]] = {}
        self._backends: dict[str, PlanReader] = {}
        self._frontends: dict[str, TableReader] = {}
        self._schedulers: dict[str, Woken] = {}
        self._lease_holder = ""
        self._lease_until_us = 0
        self._fence = 0
        self._plan_fence = self._table_fence = 0

    # Whoever wants to be told.

    def subscribe_scheduler(self, scheduler: Woken) -> None:
        """Wake it when the cluster changes."""
        self._schedulers[scheduler.name] = scheduler

    # Reports.

    def report_backend(self, backend: PlanReader, status: BackendStatus) -> None:
        """A backend says how it is; if that calls for action, schedulers are woken."""
        if not self.running:
            return  # The report is lost: the next comes in a second.
        before = self._statuses.get(status.backend)
        self._statuses[status.backend] = (self.world.now_us + STATUS_TTL_US, status)
        self._backends[backend.name] = backend
        if before is None or _acted_on(before[1]) != _acted_on(status):
            self._wake_schedulers()
        if backend.plan_seen is not self.plan:
            self._network.lane(self.name, backend.name).send(backend.read_plan, self.plan)

    def report_frontend(self, frontend: TableReader, report: FrontendReport) -> None:
        """A frontend says what it saw."""
        if not self.running:
            return
        before = self._reports.get(report.frontend)
        self._reports[report.frontend] = (self.world.now_us + STATUS_TTL_US, report)
        self._frontends[frontend.name] = frontend
        said = (report.table_version, report.lost)
        if before is None or (before[1].table_version, before[1].lost) != said:
            self._wake_schedulers()
        if frontend.table_seen is not self.table:
            self._network.lane(self.name, frontend.name).send(frontend.read_table, self.table)

    def backends(self) -> tuple[BackendStatus, ...]:
        """The statuses that have not expired, by name."""
        now_us = self.world.now_us
        live = {k: s for k, (until_us, s) in self._statuses.items() if until_us > now_us}
        return tuple(live[name] for name in sorted(live))

    def frontends(self) -> tuple[FrontendReport, ...]:
        """The reports that have not expired, by name."""
        now_us = self.world.now_us
        live = {k: r for k, (until_us, r) in self._reports.items() if until_us > now_us}
        return tuple(live[name] for name in sorted(live))

    # The lease, and what its holder publishes.

    def acquire_lease(self, holder: str) -> int | None:
        """Take or renew it; the fencing number, or None when another has it."""
        now_us = self.world.now_us
        if self._lease_holder != holder:
            if self._lease_until_us > now_us:
                return None
            self._lease_holder = holder
            self._fence += 1
        self._lease_until_us = now_us + LEASE_TTL_US
        return self._fence

    def publish_plan(self, plan: Plan, fence: int) -> bool:
        """Replace the plan and notify; False when a newer leader has published."""
        if fence < self._plan_fence:
            return False
        self._plan_fence, self.plan = fence, plan
        for backend in self._backends.values():
            self._network.lane(self.name, backend.name).send(backend.read_plan, plan)
        return True

    def publish_table(self, table: RoutingTable, fence: int) -> bool:
        """Replace the table and notify; False when a newer leader has published."""
        if fence < self._table_fence:
            return False
        self._table_fence, self.table = fence, table
        for frontend in self._frontends.values():
            self._network.lane(self.name, frontend.name).send(frontend.read_table, table)
        return True

    def _wake_schedulers(self) -> None:
        for scheduler in self._schedulers.values():
            self._network.lane(self.name, scheduler.name).send(scheduler.wake)


def _acted_on(status: BackendStatus) -> tuple[object, ...]:
    """What readers act on, and not each measurement."""
    return (
        status.incarnation,
        status.state,
        status.plan_version,
        status.loaded,
        tuple(status.failed.items()),
    )
