"""A whole cluster on this machine: real processes, real transports, one asyncio owner (ADR 0018).

``nexus up``, the demo, benchmarks and tests all start clusters through this class:

    async with LocalCluster(devices="emulated:v100:2") as cluster:
        client = AsyncClient(cluster.addresses.frontends[0])

The servers die with this process, however it ends, and a server that dies is started again.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from nexus.cli.cluster_file import ClusterFile, remove_cluster_file, write_cluster_file
from nexus.cli.devices import count_gpus, default_devices, parse_devices
from nexus.cli.directory_lock import DirectoryLock
from nexus.cli.seat import Seat
from nexus.cli.server_commands import CommandFor, ServerCommands, embedded_store
from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import DeadlineError, NotFoundError

START_TIMEOUT_S = 120.0
"""A backend imports torch, on a machine that starts all servers at once."""
STOP_GRACE_S = 10.0
TICK_S = 0.05
STOP_ORDER = ("frontend", "backend", "scheduler", "store")
"""Callers are refused first, then what they wait for is drained; the store goes last."""


class LocalCluster:
    """Store, scheduler, frontends and backends as children of this process."""

    def __init__(
        self,
        directory: Path,
        *,
        devices: str = "",
        frontends: int = 1,
        store: str = "",
        cluster: str = "local",
        threads: int = 0,
        restart: bool = True,
        scheduler_flags: tuple[str, ...] = (),
        frontend_flags: tuple[str, ...] = (),
        backend_flags: tuple[str, ...] = (),
        on_event: Callable[[str], None] = lambda _: None,
        clock: Clock | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            directory: holds ``cluster.json``, ``logs/`` and the store's data; one cluster each.
            devices: as ``nexus up --devices``; empty takes what the machine has.
            frontends: how many frontends.
            store: the URL of a running Redis; empty starts the embedded one.
            cluster: the name under which everything is kept in the store.
            threads: compute threads of a CPU backend; 0 leaves it to the libraries.
            restart: whether a server that dies is started again (with back-off).
            scheduler_flags: passed on to the scheduler as they are.
            frontend_flags: passed on to every frontend.
            backend_flags: passed on to every backend.
            on_event: told in words when a server starts to serve or dies.
            clock: for back-off; the machine's by default.

        Raises:
            InvalidArgumentError: ``devices`` is not understood, or the machine has no such device.
        """
        gpus = count_gpus()
        self.directory = directory
        self._devices = parse_devices(devices or default_devices(gpus), gpus)
        self._frontends, self._threads, self._restart = frontends, threads, restart
        self._external_store, self._cluster = store, cluster
        self._flags = (scheduler_flags, frontend_flags, backend_flags)
        self._on_event = on_event
        self._clock = clock or MonotonicClock()
        self._seats: dict[str, Seat] = {}
        self._lock: DirectoryLock | None = None
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def addresses(self) -> ClusterFile:
        """Where everything listens now; the same as ``cluster.json``."""
        members = tuple(seat.member for seat in self._seats.values())
        return ClusterFile(
            cluster=self._cluster, pid=os.getpid(), store=self._store_url, members=members
        )

    @property
    def _store_url(self) -> str:
        return self._external_store or f"redis://{self._seats['store'].member.data}"

    async def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when every server serves; else stop what was started and raise.

        Raises:
            FailedPreconditionError: another cluster runs in the directory.
            InternalError: a server ended at start; the message holds the end of its log.
            DeadlineError: not every server was ready within ``timeout_s``.
        """
        self._lock = DirectoryLock(self.directory)
        try:
            async with asyncio.timeout(timeout_s):
                await self._start_all()
        except TimeoutError as error:
            late = self._unready_report()
            await self.stop()
            raise DeadlineError(f"not ready within {timeout_s:g} s: {late}") from error
        except BaseException:
            await self.stop()
            raise
        self._publish()
        self._supervisor = asyncio.create_task(self._supervise(), name="local-cluster-supervisor")

    async def stop(self) -> None:
        """Stop every server in order and wait for its end; harmless when nothing runs."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        for component in STOP_ORDER:
            await _stop_seats([s for s in self._seats.values() if s.component == component])
        self._seats.clear()
        if self._lock is not None:
            remove_cluster_file(self.directory)
            self._lock.release()
            self._lock = None

    async def kill(self, name: str) -> None:
        """``kill -9`` a server and wait until it is dead; it comes back unless told not to."""
        child = self._seat(name).child
        if child is None:
            return
        child.send(signal.SIGKILL)
        await _until(lambda: child.poll() is not None)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a server a signal (SIGSTOP and SIGCONT make a server that hangs)."""
        self._seat(name).signal(number)

    async def wait_ready(self) -> None:
        """Return when every server serves, those that are being started again included."""
        seats = self._seats.values()
        await _until(lambda: all(seat.ready is not None and not seat.ended for seat in seats))

    async def _start_all(self) -> None:
        if not self._external_store:
            await self._start_group([(embedded_store(self.directory / "store"), "")])
        commands = ServerCommands(store=self._store_url, cluster=self._cluster)
        scheduler_flags, frontend_flags, backend_flags = self._flags
        group: list[tuple[CommandFor, str]] = [(commands.scheduler(scheduler_flags), "")]
        group += [(commands.frontend(i, frontend_flags), "") for i in range(self._frontends)]
        group += [
            (commands.backend(device, self._threads, backend_flags), device.device)
            for device in self._devices
        ]
        await self._start_group(group)

    async def _start_group(self, group: Iterable[tuple[CommandFor, str]]) -> None:
        seats = [
            Seat(command_for, self.directory / "logs", self._clock, device)
            for command_for, device in group
        ]
        for seat in seats:
            self._seats[seat.name] = seat
            seat.start()
        while any(seat.ready is None for seat in seats):
            for seat in seats:
                if seat.child is not None and seat.child.poll() is not None:
                    raise seat.child.death()
                seat.tick(restart=False)
            await asyncio.sleep(TICK_S)

    async def _supervise(self) -> None:
        while True:
            events = [
                event
                for seat in self._seats.values()
                if (event := seat.tick(restart=self._restart))
            ]
            if events:
                self._publish()
            for event in events:
                self._on_event(event)
            await asyncio.sleep(TICK_S)

    def _publish(self) -> None:
        write_cluster_file(self.directory, self.addresses)

    def _seat(self, name: str) -> Seat:
        if name not in self._seats:
            known = ", ".join(self._seats)
            raise NotFoundError(f"no server named {name!r} in this cluster; there are {known}")
        return self._seats[name]

    def _unready_report(self) -> str:
        late = [seat for seat in self._seats.values() if seat.ready is None]
        return "; ".join(
            f"{seat.name}, whose log ends\n{seat.child.tail() if seat.child else ''}"
            for seat in late
        )


async def _until(condition: Callable[[], bool]) -> None:
    """Child processes end without an event that asyncio sees alike on every loop, so poll."""
    while not condition():  # noqa: ASYNC110 - see above
        await asyncio.sleep(TICK_S)


async def _stop_seats(seats: list[Seat]) -> None:
    """SIGTERM, a grace, then SIGKILL for what is left; and SIGCONT, or a stopped one never ends."""
    for number, grace_s in ((signal.SIGTERM, STOP_GRACE_S), (signal.SIGKILL, STOP_GRACE_S)):
        for seat in seats:
            seat.signal(number)
            seat.signal(signal.SIGCONT)
        for _ in range(round(grace_s / TICK_S)):
            if all(seat.ended for seat in seats):
                return
            await asyncio.sleep(TICK_S)
