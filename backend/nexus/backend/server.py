"""The backend server: puts engine, device, store and servers together, and takes them down.

Life: listen -> registered in the store: SERVING -> (SIGTERM or Drain) DRAINING: refuse, say
goodbye, finish -> leave the store -> stop.
"""

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import Any

from nexus.backend import events
from nexus.backend.control_service import SERVICE_NAME, ControlService
from nexus.backend.data_server import DataServer
from nexus.backend.device_name import DeviceKind
from nexus.backend.driver import EngineDriver
from nexus.backend.engine import BackendEngine
from nexus.backend.executor import Executor
from nexus.backend.models import ResidentModels
from nexus.backend.settings import BackendSettings
from nexus.backend.store_link import StoreLink
from nexus.core.clock import MonotonicClock
from nexus.core.cluster import BackendState, BackendStatus, Catalogue
from nexus.core.plan import Plan
from nexus.rpc.address import parse_address
from nexus.rpc.server import RpcServer
from nexus.store.base import Store
from nexus.store.cluster import ClusterStore
from nexus.telemetry.backend import BackendMetrics
from nexus.telemetry.server import MetricsServer, serve_metrics
from nexus.v1.backend_pb2_grpc import add_BackendServiceServicer_to_server

STOP_GRACE_S = 1.0

EARLY_US = 2_000
"""How much before its last moment a deferred batch is started: timers of the event loop are rounded
to a millisecond and often late by another, and a tick that came too late would cost the head."""

logger = logging.getLogger(__name__)


def executor_for(settings: BackendSettings) -> Executor[Any]:
    """The executor of a device. An emulated one imports no numerical library."""
    if settings.device.kind is DeviceKind.EMULATED:
        from nexus.backend.emulated_executor import EmulatedExecutor  # noqa: PLC0415 - see above

        return EmulatedExecutor(jitter=settings.emulated_jitter)
    from nexus.backend.device_executor import DeviceExecutor  # noqa: PLC0415 - see above

    return DeviceExecutor(settings.device, threads=settings.threads, model_root=settings.model_root)


class BackendServer:
    """One backend process. ``start``, then ``drain``, then ``close``."""

    def __init__(self, settings: BackendSettings, store: Store) -> None:
        """Put the parts together; the server owns ``store`` from now on."""
        self._settings = settings
        self._store = store
        self._state = BackendState.STARTING
        # Differs at every start: a backend that came back has lost what its old self was sent.
        self._incarnation = secrets.randbits(48)
        self._metrics = BackendMetrics()
        self._metrics_server: MetricsServer | None = None
        self._engine = BackendEngine(reply_us=settings.reply_us, early_us=EARLY_US)
        clock = MonotonicClock()
        self._executor = executor_for(settings)
        self._models = ResidentModels(
            self._executor, settings.device.type, settings.memory_bytes, clock, self._metrics
        )
        self._driver = EngineDriver(
            engine=self._engine,
            executor=self._executor,
            models=self._models,
            clock=clock,
            metrics=self._metrics,
            prepare_workers=settings.prepare_workers,
        )
        self._data = DataServer(settings.name, self._driver, clock)
        self._driver.reply = self._data.reply
        self._driver.say_started = self._data.say_started
        self._rpc = RpcServer()
        state = ClusterStore(store, settings.cluster)
        self._link = StoreLink(state, self._take, self._report, clock)
        self._driver.on_status = self._link.report_soon

    @property
    def ready_line(self) -> str:
        """The line that tells whoever started the process where it listens."""
        assert self._metrics_server is not None
        host = parse_address(self._settings.metrics_listen).host
        return (
            f"ready component=backend name={self._settings.name} grpc={self._rpc.address} "
            f"data={self._data.address} metrics={host}:{self._metrics_server.port}"
        )

    async def start(self) -> None:
        """Listen and register; raise a NexusError when an address is taken."""
        metrics = parse_address(self._settings.metrics_listen)
        data = parse_address(self._settings.data_listen)
        self._metrics_server = serve_metrics(
            self._metrics.registry, metrics.socket_host, metrics.port
        )
        await self._data.start(data.socket_host, data.port)
        self._rpc.add(
            add_BackendServiceServicer_to_server,
            ControlService(self.status, self.begin_drain),
            SERVICE_NAME,
        )
        await self._rpc.start(self._settings.listen)
        self._state = BackendState.SERVING
        self._set_health()
        self._link.start()

    def begin_drain(self) -> None:
        """Refuse what comes, tell the frontends and the scheduler, finish what is here."""
        if self._state is BackendState.DRAINING:
            return
        self._state = BackendState.DRAINING
        self._set_health()
        self._data.say_goodbye()
        self._driver.tell(events.Drain())
        self._link.report_soon()

    async def drain(self) -> None:
        """Drain, and wait until everything is answered, or the grace is over."""
        self.begin_drain()
        await self._link.report()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.grace_s):
                await self._driver.drained.wait()
                await self._driver.answered.wait()
        logger.info("drained", extra={"unanswered": len(self._driver.in_flight)})

    async def close(self) -> None:
        """Leave the store and stop everything."""
        await self._link.close()
        await self._data.close()
        await self._rpc.stop(STOP_GRACE_S)
        self._driver.close()
        self._executor.close()
        await self._store.close()
        if self._metrics_server is not None:
            await asyncio.to_thread(self._metrics_server.close)

    def status(self) -> BackendStatus:
        """This backend's own account of itself."""
        engine = self._engine.status()
        advertise = self._settings.advertise
        return BackendStatus(
            backend=self._settings.name,
            incarnation=self._incarnation,
            address=f"{advertise}:{parse_address(self._data.address).port}",
            control_address=f"{advertise}:{parse_address(self._rpc.address).port}",
            device=self._settings.device.type,
            memory_bytes=self._settings.memory_bytes,
            state=self._state,
            plan_version=engine.plan_version,
            loaded=engine.loaded,
            failed=engine.failed,
            measured=engine.measured,
        )

    def _report(self) -> BackendStatus:
        """The status, each second; the gauges that only matter to a scrape go with it."""
        for session, items in self._engine.queued_items().items():
            self._metrics.queued(session, items)
        for model, (measured_us, profiled_us) in self._engine.profile_errors().items():
            self._metrics.profile_error(model, measured_us, profiled_us)
        self._metrics.store_up(self._link.up)
        return self.status()

    def _take(self, plan: Plan, catalogue: Catalogue) -> None:
        """A plan, or a catalogue, that was not known yet."""
        mine = plan.backend_plan(self._settings.name)
        profiles = self._models.declared(catalogue, mine)
        self._driver.tell(events.PlanChanged(mine, plan.version, profiles, plan.fence))
        placements = mine.placements if mine else ()
        self._metrics.planned(
            plan.version,
            mine.duty_cycle_us if mine else 0,
            {placement.session: placement.batch for placement in placements},
        )
        self._link.report_soon()

    def _set_health(self) -> None:
        for service in ("", SERVICE_NAME):
            self._rpc.health.set(service, serving=self._state is BackendState.SERVING)
