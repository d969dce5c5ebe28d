"""A whole cluster in virtual time, built from a scenario.

The same engine objects as in the servers; what is simulated is the network, the devices, the store
and the chance that things break. Here processes are made, connected, killed and started anew.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nexus.core.device import DeviceSpec
from nexus.core.errors import InvalidArgumentError
from nexus.core.names import BackendName, FrontendName
from nexus.core.plan import Plan
from nexus.core.units import US_PER_S
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.scenario import DeviceBehaviour, Scenario
from nexus.scheduler.settings import policy
from nexus.simulator.connection import Connection, PeerConnection
from nexus.simulator.fan_out import fan_outs_of
from nexus.simulator.ledger import Ledger
from nexus.simulator.network import Network
from nexus.simulator.process import Process
from nexus.simulator.simulated_backend import SimulatedBackend
from nexus.simulator.simulated_device import SimulatedDevice
from nexus.simulator.simulated_frontend import SimulatedFrontend
from nexus.simulator.simulated_scheduler import SimulatedScheduler
from nexus.simulator.simulated_store import SimulatedStore
from nexus.simulator.surroundings import REPORT_US, Surroundings
from nexus.simulator.world import World

SCHEDULERS_START_US = REPORT_US
"""When schedulers look first: everybody else has reported by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """What a scenario file need not say.

    ``jitter`` and ``load_us`` are of devices whose type has no behaviour of its own in the
    scenario. ``warmup_us`` from the first arrival on is checked, but not counted. A run in which
    some session can no longer have ``good_min`` of its requests answered in time ends at once, with
    HopelessRunError; 0 runs every run to its end.
    """

    seed: int = 0
    jitter: float = 0.0
    load_us: int = US_PER_S
    warmup_us: int = 0
    good_min: float = 0.0


class SimulatedCluster:
    """Frontends, backends, schedulers and a store in one World.

    ``backends``, ``frontends`` and ``schedulers`` are those that live; ``plans`` all published.
    """

    def __init__(self, scenario: Scenario, settings: SimulationSettings) -> None:
        """Build every process; nothing happens before ``start``."""
        self.world = World()
        self.ledger = Ledger()
        self.plans: list[Plan] = []
        self._retired: list[tuple[BackendName, SimulatedDevice]] = []
        self._scenario = scenario
        self._settings = settings
        self._rng = random.Random(settings.seed)  # noqa: S311 - reproducible, not secret
        self.network = Network(self.world, scenario.network, self._stream())
        catalogue = scenario.catalogue()
        self.store = SimulatedStore(self.world, self.network, catalogue)
        self._around = Surroundings(self.world, self.network, self.store)
        self._fan_outs = fan_outs_of(catalogue.queries, scenario.queries)
        self._payload_bytes = _payload_bytes(scenario)
        self.connections_made = 0
        self._device_of = dict(_named_devices(scenario.devices))
        self.backends = {name: self._backend(name, 1) for name in self._device_of}
        self.frontends = [self._frontend(i, 1) for i in range(scenario.frontends)]
        self.schedulers = [self._scheduler(i, 1) for i in range(scenario.schedulers)]

    def start(self) -> None:
        """Let every process begin; their reports are spread over the second."""
        for position, backend in enumerate(self.backends.values()):
            backend.start(REPORT_US * position // len(self.backends))
        for position, frontend in enumerate(self.frontends):
            frontend.start(REPORT_US * position // len(self.frontends))
        for scheduler in self.schedulers:
            self.world.at(SCHEDULERS_START_US, scheduler.start)

    @property
    def is_rolled_out(self) -> bool:
        """Whether all of the newest plan is loaded, spares too, and in every frontend's table."""
        table, plan = self.store.table, self.store.plan
        spots = {(route.backend, s.session) for s in table.sessions for route in s.routes}
        spots |= {
            (member.backend, session.session)
            for pool in table.pools
            for member in pool.members
            for session in pool.sessions
        }
        wanted = {
            (backend.backend, placement.session)
            for backend in plan.backends
            for placement in backend.placements
            if not placement.spare or placement.pool is not None
        }
        loaded = {status.backend: status.loaded for status in self.store.backends()}
        return (
            bool(wanted)
            and wanted <= spots
            and all(
                placement.session in loaded.get(backend.backend, ())
                for backend in plan.backends
                for placement in backend.placements
            )
            and all(frontend.table_seen is table for frontend in self.frontends)
        )

    # Life and death.

    def process(self, name: str) -> Process | None:
        """The process that now has a name; None while it is dead."""
        return next((p for p in self.processes() if p.name == name), None)

    def processes(self) -> Iterator[Process]:
        """All that live, and the store."""
        yield from self.backends.values()
        yield from self.frontends
        yield from self.schedulers
        yield self.store

    def devices(self) -> list[tuple[BackendName, SimulatedDevice]]:
        """Every device of every backend that lives, or has lived."""
        living = [(name, backend.device) for name, backend in self.backends.items()]
        return sorted((*living, *self._retired), key=lambda entry: entry[0])

    def kill_backend(self, name: BackendName) -> None:
        """Kill -9: sockets close at once; the status expires with its time."""
        backend = self.backends.pop(name)
        backend.kill()
        self._retired.append((name, backend.device))

    def restart_backend(self, name: BackendName, incarnation: int) -> None:
        """Start a killed backend anew: nothing is loaded."""
        backend = self._backend(name, incarnation)
        self.backends[name] = backend
        backend.start(self.world.now_us)

    def kill_frontend(self, name: FrontendName) -> None:
        """Kill -9: the requests of its clients fail."""
        frontend = next(f for f in self.frontends if f.name == name)
        frontend.kill()
        self.frontends.remove(frontend)

    def restart_frontend(self, name: FrontendName, incarnation: int) -> None:
        """Start a killed frontend anew."""
        frontend = self._frontend(int(name.rpartition("-")[2]), incarnation)
        self.frontends.append(frontend)
        self.frontends.sort(key=lambda f: f.name)
        frontend.start(self.world.now_us)

    def kill_scheduler(self, name: str) -> None:
        """Kill -9: the lease runs out."""
        scheduler = next(s for s in self.schedulers if s.name == name)
        scheduler.kill()
        self.schedulers.remove(scheduler)

    def restart_scheduler(self, name: str, incarnation: int) -> None:
        """Start a killed scheduler anew: it knows what lies in the store."""
        scheduler = self._scheduler(int(name.rpartition("-")[2]), incarnation)
        self.schedulers.append(scheduler)
        scheduler.start()

    # Connections.

    def connect(self, frontend: SimulatedFrontend, backend: BackendName) -> Connection | None:
        """A connection to a backend; None when it cannot be reached now."""
        process = self.backends.get(backend)
        if process is None or not process.running:
            return None
        if not self.network.reaches(frontend.name, backend):
            return None
        self.connections_made += 1
        connection = Connection(self.connections_made, frontend, process, self.network)
        process.accept(connection)
        return connection

    def connect_peer(
        self, frontend: SimulatedFrontend, peer: FrontendName
    ) -> PeerConnection | None:
        """A connection to another frontend; None when it cannot be reached now."""
        other = next((f for f in self.frontends if f.name == peer), None)
        if other is None or not other.running:
            return None
        if not self.network.reaches(frontend.name, peer):
            return None
        connection = PeerConnection(frontend, other, self.network)
        frontend.peer_found(connection)
        other.peer_found(connection)
        return connection

    # Building.

    def _backend(self, name: BackendName, incarnation: int) -> SimulatedBackend:
        spec = self._device_of[name]
        default = DeviceBehaviour(jitter=self._settings.jitter, load_us=self._settings.load_us)
        device = SimulatedDevice(
            spec.type,
            spec.memory_bytes,
            self._scenario.behaviours.get(spec.type, default),
            {p.model: p for p in self.store.catalogue.profiles if p.device == spec.type},
            self._stream(),
        )
        return SimulatedBackend(
            self._around,
            name,
            incarnation,
            device=device,
            fan_outs=self._fan_outs,
            rng=self._stream(),
        )

    def _frontend(self, index: int, incarnation: int) -> SimulatedFrontend:
        return SimulatedFrontend(
            self._around,
            f"frontend-{index}",
            incarnation,
            ledger=self.ledger,
            exchange=self,
            payload_bytes=self._payload_bytes,
        )

    def _scheduler(self, index: int, incarnation: int) -> SimulatedScheduler:
        planner = self._scenario.planner_settings(policy(self._scenario.policy))
        return SimulatedScheduler(
            self._around,
            f"scheduler-{index}",
            incarnation,
            SchedulerEngine(planner, self._scenario.epochs, _prices(self._scenario.devices)),
            self.plans.append,
        )

    def _stream(self) -> random.Random:
        return random.Random(self._rng.getrandbits(64))  # noqa: S311 - reproducible, not secret


def _named_devices(devices: Iterable[DeviceSpec]) -> Iterator[tuple[BackendName, DeviceSpec]]:
    """A backend for each device, named by its type and a number."""
    for spec in devices:
        if spec.count is None:
            raise InvalidArgumentError(
                f"device {spec.type!r} has no count: a simulation needs to know how many",
                reason="invalid_scenario",
            )
        for index in range(spec.count):
            yield f"{spec.type}-{index}", spec


def _prices(devices: Iterable[DeviceSpec]) -> dict[str, float]:
    return {spec.type: spec.price for spec in devices}


def _payload_bytes(scenario: Scenario) -> dict[str, int]:
    """By session name; every stage of a query gets the frame."""
    sizes = {entry.session.name: entry.payload_bytes for entry in scenario.sessions}
    for asked in scenario.queries:
        for stage in asked.query.stages:
            sizes[f"{asked.query.name}/{stage.name}"] = asked.payload_bytes
    return {name: size for name, size in sizes.items() if size}
