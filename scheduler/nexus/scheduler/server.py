"""The scheduler as a server: control service, metrics, and the loop that plans.

A shell: it owns sockets and the store's connection, and holds no decisions.
"""

import asyncio
import logging
import secrets
import signal
from collections.abc import Callable, Collection
from contextlib import suppress

from nexus.core.clock import MonotonicClock
from nexus.core.errors import UnavailableError
from nexus.core.names import BackendName
from nexus.rpc.address import parse_address
from nexus.rpc.server import RpcServer
from nexus.scheduler.control import SERVICE, ControlService
from nexus.scheduler.driver import Scaler, SchedulerDriver
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.flags import SchedulerFlags
from nexus.scheduler.leadership import Leadership
from nexus.store import open_store
from nexus.store.cluster import ClusterStore
from nexus.telemetry.scheduler import SchedulerMetrics
from nexus.telemetry.server import serve_metrics
from nexus.v1.control_pb2_grpc import add_ControlServiceServicer_to_server

STOP_GRACE_S = 5.0

ConnectScaler = Callable[[str, Callable[[], Collection[BackendName]]], Scaler]
"""(namespace, backends in use) -> Scaler; lies above this package, so the caller passes it."""

_log = logging.getLogger(__name__)


async def serve(flags: SchedulerFlags, connect_scaler: ConnectScaler | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then give up the lease and return."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    clock = MonotonicClock()
    store = open_store(flags.store)
    cluster = ClusterStore(store, flags.cluster)
    engine = SchedulerEngine(flags.planner, flags.epochs)
    metrics = SchedulerMetrics()
    leadership = Leadership(cluster, f"{flags.name}/{secrets.token_hex(4)}", clock)
    scaler = None
    if connect_scaler is not None and flags.kubernetes_namespace:
        scaler = connect_scaler(flags.kubernetes_namespace, lambda: backends_in_use(engine))
    driver = SchedulerDriver(
        engine, cluster, leadership, metrics=metrics, clock=clock, scaler=scaler
    )
    control = ControlService(
        cluster,
        rates=lambda: engine.expected_rates(clock.now_us()),
        leader=lambda: flags.name if engine.leading else "",
    )
    server = RpcServer()
    server.add(add_ControlServiceServicer_to_server, control, SERVICE)
    listen = parse_address(flags.metrics_listen)
    endpoint = serve_metrics(metrics.registry, listen.socket_host, listen.port)
    try:
        address = await server.start(flags.listen)
        for service in ("", SERVICE):
            server.health.set(service, serving=True)
        ports = (str(parse_address(address).port), endpoint.port)
        print(_ready_line(flags, *ports), flush=True)  # noqa: T201 - the contract with parents
        await _until_stopped(driver, stopping)
        await server.stop(STOP_GRACE_S)
    finally:
        with suppress(UnavailableError):
            await leadership.release()
        endpoint.close()
        await store.close()


def backends_in_use(engine: SchedulerEngine) -> frozenset[BackendName]:
    """The backends that the plan counts on: never to be removed. Those kept warm may go."""
    return frozenset(
        plan.backend
        for plan in engine.plan.backends
        if any(not placement.spare for placement in plan.placements)
    )


async def _until_stopped(driver: SchedulerDriver, stopping: asyncio.Event) -> None:
    """Run the loop until told to stop; a defect in it ends the process with its traceback."""
    running = asyncio.create_task(driver.run())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        running.result()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _ready_line(flags: SchedulerFlags, grpc_port: str, metrics_port: int) -> str:
    host = flags.advertise
    return (
        f"ready component=scheduler name={flags.name} grpc={host}:{grpc_port} "
        f"metrics={host}:{metrics_port}"
    )
