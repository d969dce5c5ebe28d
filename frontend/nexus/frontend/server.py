"""The frontend server: puts engine, links, store and gRPC services together, and takes them down.

Life: listen -> read a table and the catalogue -> SERVING -> (SIGTERM) NOT_SERVING and DRAINING ->
everything under way is answered -> stop.
"""

import asyncio
import logging
import time
from contextlib import suppress

from nexus.core.catalogue_doubt import CatalogueDoubt
from nexus.core.clock import MonotonicClock
from nexus.core.cluster import FrontendReport
from nexus.frontend import events, inference_service, query_service
from nexus.frontend.backend_links import BackendLinks
from nexus.frontend.cluster_feed import ClusterFeed
from nexus.frontend.driver import EngineDriver
from nexus.frontend.engine import FrontendEngine
from nexus.frontend.framed_service import FramedService
from nexus.frontend.front_desk import FrontDesk
from nexus.frontend.inference_service import InferenceService
from nexus.frontend.peers import Peers
from nexus.frontend.query_service import QueryService
from nexus.frontend.settings import FrontendSettings
from nexus.inference.open_inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from nexus.rpc.server import RpcServer
from nexus.store.base import Store
from nexus.store.cluster import ClusterStore
from nexus.telemetry.frontend import FrontendMetrics
from nexus.telemetry.server import MetricsServer, serve_metrics
from nexus.v1.query_pb2_grpc import add_QueryServiceServicer_to_server

DRAIN_S_MAX = 30.0
"""How long what is under way may take to be answered after SIGTERM; then calls are cancelled."""

STOP_GRACE_S = 2.0
_SERVICES = ("", inference_service.SERVICE_NAME, query_service.SERVICE_NAME)

_log = logging.getLogger(__name__)


class FrontendServer:
    """One frontend process. ``start``, then ``drain``, then ``close``."""

    def __init__(self, settings: FrontendSettings, store: Store) -> None:
        """Put the parts together; the server owns ``store`` from now on."""
        self._settings = settings
        self._store = store
        self._cluster = ClusterStore(store, settings.cluster)
        self._clock = MonotonicClock()
        # Differs at every start, also after a restart within the report's life in the store.
        self._incarnation = time.time_ns() // 1_000
        self._metrics = FrontendMetrics()
        self._driver = EngineDriver(FrontendEngine(), self._clock, self._metrics.dispatched)
        self._links = BackendLinks(settings.name, self._tell_of_backend)
        self._driver.sender = self._links
        self._peers = Peers(
            settings.name, self._clock, self._driver.tell, on_answered=self._metrics.asked
        )
        self._driver.peers = self._peers
        self._desk = FrontDesk(self._driver, self._metrics, lambda: time.time_ns() // 1_000)
        self._feed = ClusterFeed(
            self._cluster,
            self._read_table,
            self._read_catalogue,
            self._read_frontends,
            self._report,
        )
        self._rpc = RpcServer()
        self._framed = FramedService(self._desk, settings.name)
        self._metrics_server: MetricsServer | None = None
        self._table_read_us = self._clock.now_us()
        self._catalogue_read = False
        self._declared = CatalogueDoubt()
        self._followed = self._driver.engine.table

    @property
    def grpc_address(self) -> str:
        """``HOST:PORT`` of gRPC, once started."""
        return self._rpc.address

    @property
    def serving(self) -> bool:
        """Whether requests are accepted: a table and the catalogue were read, and no drain."""
        return self._desk.ready and self._catalogue_read

    @property
    def in_flight(self) -> int:
        """Requests and frames accepted and not yet answered."""
        return self._driver.engine.in_flight

    @property
    def store_up(self) -> bool:
        """Whether the last call to the store succeeded."""
        return self._feed.store_up

    @property
    def ready_line(self) -> str:
        """The line that tells whoever started the process where it listens."""
        assert self._metrics_server is not None
        metrics = f"{self._settings.metrics_listen.host}:{self._metrics_server.port}"
        data = f"data={self._framed.address} " if self._framed.address else ""
        return (
            f"ready component=frontend name={self._settings.name} grpc={self._rpc.address} "
            f"{data}metrics={metrics}"
        )

    async def start(self) -> None:
        """Listen and begin to follow the store; raise a NexusError when an address is taken."""
        self._metrics_server = serve_metrics(
            self._metrics.registry,
            self._settings.metrics_listen.host,
            self._settings.metrics_listen.port,
        )
        self._rpc.add(
            add_GRPCInferenceServiceServicer_to_server,
            InferenceService(self._desk),
            inference_service.SERVICE_NAME,
        )
        self._rpc.add(
            add_QueryServiceServicer_to_server,
            QueryService(self._desk),
            query_service.SERVICE_NAME,
        )
        await self._rpc.start(str(self._settings.listen))
        if self._settings.data_listen is not None:
            await self._framed.start(
                self._settings.data_listen.host, self._settings.data_listen.port
            )
        await self._peers.start(self._settings.peer_listen.host, self._settings.peer_listen.port)
        self._feed.start()

    async def drain(self) -> None:
        """Refuse everything new, and wait until what is under way is answered."""
        self._driver.tell(events.Drain())
        self._set_health()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S_MAX):
                await self._driver.idle()
        _log.info("drained", extra={"left": self._driver.engine.in_flight})

    async def close(self) -> None:
        """Stop everything, in the order in which nothing is missed by the parts still running."""
        await self._rpc.stop(STOP_GRACE_S)
        await self._framed.close()
        await self._feed.close()
        await self._peers.close()
        await self._links.close()
        self._driver.close()
        if self._feed.store_up:
            await self._cluster.forget_frontend(self._settings.name)
        await self._store.close()
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)

    async def _read_table(self) -> None:
        table = await self._cluster.table()
        self._table_read_us = self._clock.now_us()
        newest = self._driver.engine.newest_table
        if (table.fence, table.version) <= (newest.fence, newest.version):
            return
        self._driver.tell(events.TableChanged(table))
        self._follow_table()
        await self._feed.report_now()

    def _follow_table(self) -> None:
        """Connect as the tables say, and look names up in the one in use now."""
        engine = self._driver.engine
        self._followed = in_use = engine.table
        self._links.follow(in_use, engine.newest_table)
        self._desk.refresh()
        self._set_health()
        _log.info("table in use", extra={"version": in_use.version, "epoch": in_use.epoch})

    def _tell_of_backend(self, event: events.Event) -> None:
        self._driver.tell(event)
        if self._driver.engine.table is not self._followed:
            self._feed.report_soon()
        if isinstance(event, events.BackendLost):
            self._feed.report_soon()

    async def _read_catalogue(self) -> None:
        read = await self._cluster.catalogue()
        doubted = self._declared.doubted
        catalogue = self._declared.believed(read, self._clock.now_us())
        if self._declared.doubted and not doubted:
            _log.warning("everything declared has vanished: going on with what was")
        if self._catalogue_read and catalogue.version == self._driver.engine.catalogue.version:
            return
        self._catalogue_read = True
        self._driver.tell(events.CatalogueChanged(catalogue))
        self._desk.refresh()
        self._set_health()

    async def _read_frontends(self) -> None:
        reports = await self._cluster.frontends()
        # A store that does not know this one either has lost all reports, not all frontends.
        if any(report.frontend == self._settings.name for report in reports):
            self._peers.follow(reports)

    def _set_health(self) -> None:
        for service in _SERVICES:
            self._rpc.health.set(service, serving=self.serving)

    def _report(self) -> FrontendReport:
        """The report, each second; the gauges that only matter to a scrape go with it."""
        engine, now_us = self._driver.engine, self._clock.now_us()
        if engine.table is not self._followed:
            self._follow_table()  # A connection let it use more of the newest.
        self._metrics.in_flight(engine.in_flight)
        self._metrics.table(engine.table.version, now_us - self._table_read_us)
        self._metrics.store_up(self._feed.store_up)
        for session, wait_us in engine.expected_wait_us(now_us).items():
            self._metrics.expected_wait(session, wait_us)
        port = self._rpc.address.rpartition(":")[2]
        return FrontendReport(
            frontend=self._settings.name,
            incarnation=self._incarnation,
            address=f"{self._settings.advertise}:{port}",
            peer_address=f"{self._settings.advertise}:{self._peers.port}",
            at_us=now_us,
            table_version=engine.table.version,
            arrivals=engine.arrivals,
            stages=engine.stages,
            lost=engine.lost,
        )
