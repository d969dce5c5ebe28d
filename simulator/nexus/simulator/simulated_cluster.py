"""A whole cluster in virtual time, built from a scenario.

The same engine objects as in the servers; what is simulated is the network, the devices and the
store, whose readers see every publication after one network delay.
"""

import random
from dataclasses import dataclass
from functools import partial

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.events import Cancelled as BackendCancelled
from nexus.backend.events import ConnectionLost
from nexus.core.cluster import Catalogue
from nexus.core.errors import InvalidArgumentError
from nexus.core.names import BackendName, DeviceType
from nexus.core.plan import Plan
from nexus.core.request import Outcome
from nexus.core.routing import RoutingTable
from nexus.core.units import US_PER_S
from nexus.frontend import events as frontend_events
from nexus.scheduler.engine import SchedulerEngine
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.settings import policy
from nexus.simulator.fan_out import fan_outs_of
from nexus.simulator.ledger import Ledger
from nexus.simulator.network import Network
from nexus.simulator.simulated_backend import SimulatedBackend, SimulatedDevice
from nexus.simulator.simulated_frontend import SimulatedFrontend
from nexus.simulator.simulated_scheduler import Observation, SimulatedScheduler
from nexus.simulator.world import World

REPORT_US = US_PER_S
FAILURE_DETECTION_US = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """What a scenario file does not say."""

    seed: int = 0
    jitter: float = 0.0
    load_us: int = US_PER_S
    warmup_us: int = 0


class SimulatedCluster:
    """Frontends, backends and one scheduler in one World."""

    def __init__(self, scenario: Scenario, settings: SimulationSettings) -> None:
        """Build every node; nothing happens before ``start``."""
        self.world = World()
        self.ledger = Ledger(settings.warmup_us)
        self._rng = random.Random(settings.seed)  # noqa: S311 - reproducible, not secret
        self._catalogue = scenario.catalogue()
        self._network = Network(self.world, self._stream(), scenario.network.delay_us)
        self.backends = {b.name: b for b in self._build_backends(scenario, settings)}
        self.frontends = [self._build_frontend(i) for i in range(scenario.frontends)]
        planner = scenario.planner_settings(policy(scenario.policy))
        self.scheduler = SimulatedScheduler(
            self.world,
            SchedulerEngine(planner, scenario.epochs),
            self._observe,
            self._publish_plan,
            self._publish_table,
        )

    def start(self) -> None:
        """Connect everything, elect the scheduler and begin to report."""
        for frontend in self.frontends:
            frontend.handle(frontend_events.CatalogueChanged(self._catalogue))
            for backend in self.backends:
                frontend.handle(frontend_events.BackendFound(backend))
        self.scheduler.lead()
        self._report()

    def redeclare(self, catalogue: Catalogue) -> None:
        """Change what is declared, as `nexus apply` does."""
        self._catalogue = catalogue
        for frontend in self.frontends:
            frontend.handle(frontend_events.CatalogueChanged(catalogue))

    def kill_backend(self, name: BackendName) -> None:
        """Kill -9: sockets close at once, the status key expires with the next report."""
        self.backends.pop(name).kill()
        for frontend in self.frontends:
            self.world.after(
                FAILURE_DETECTION_US,
                partial(frontend.handle, frontend_events.BackendLost(name)),
            )

    def _report(self) -> None:
        self.scheduler.look()
        self.world.after(REPORT_US, self._report)

    def _observe(self) -> Observation:
        return Observation(
            self._catalogue,
            tuple(backend.status() for backend in self.backends.values()),
            tuple(frontend.report() for frontend in self.frontends),
        )

    def _publish_plan(self, plan: Plan) -> None:
        for backend in self.backends.values():
            self._network.send("store", backend.name, partial(backend.take_plan, plan))

    def _publish_table(self, table: RoutingTable) -> None:
        event = frontend_events.TableChanged(table)
        for frontend in self.frontends:
            self._network.send("store", frontend.name, partial(frontend.handle, event))

    def _build_backends(
        self, scenario: Scenario, settings: SimulationSettings
    ) -> list[SimulatedBackend]:
        fan_outs = fan_outs_of(self._catalogue.queries)
        backends = []
        for device in scenario.devices:
            if device.count is None:
                raise InvalidArgumentError(
                    f"device {device.type!r} has no count: a simulation needs to know how many",
                    reason="invalid_scenario",
                )
            profiles = {p.model: p for p in self._catalogue.profiles if p.device == device.type}
            backends += [
                SimulatedBackend(
                    self.world,
                    f"{device.type}-{index}",
                    _device(device.type, device.memory_bytes, settings),
                    profiles,
                    fan_outs,
                    self._stream(),
                    self._reply_from(f"{device.type}-{index}"),
                )
                for index in range(device.count)
            ]
        return backends

    def _build_frontend(self, index: int) -> SimulatedFrontend:
        name = f"frontend-{index}"

        def send(effect: frontend_events.Send | frontend_events.CancelSent) -> None:
            self._network.send(name, effect.backend, lambda: self._arrive(index, effect))

        return SimulatedFrontend(self.world, name, self.ledger, send)

    def _arrive(
        self, connection: int, effect: frontend_events.Send | frontend_events.CancelSent
    ) -> None:
        backend = self.backends.get(effect.backend)
        if backend is None:
            return  # It died while the message was on its way.
        if isinstance(effect, frontend_events.Send):
            backend.arrive(DispatchKey(connection, effect.dispatch.id), effect.dispatch)
        else:
            backend.handle(BackendCancelled(DispatchKey(connection, effect.dispatch_id)))

    def _reply_from(self, name: BackendName) -> "Reply":
        return Reply(self, name)

    def deliver_reply(self, source: BackendName, key: DispatchKey, outcome: Outcome) -> None:
        """A backend's reply goes to the frontend of its connection."""
        frontend = self.frontends[key.connection]
        self._network.send(source, frontend.name, lambda: frontend.replied(key.dispatch, outcome))

    def disconnect(self, connection: int) -> None:
        """A frontend's connections close: no backend keeps its work."""
        for backend in self.backends.values():
            backend.handle(ConnectionLost(connection))

    def _stream(self) -> random.Random:
        return random.Random(self._rng.getrandbits(64))  # noqa: S311 - reproducible, not secret


@dataclass(frozen=True, slots=True)
class Reply:
    """Where one backend's replies go."""

    cluster: SimulatedCluster
    source: BackendName

    def __call__(self, key: DispatchKey, outcome: Outcome) -> None:
        """Send it."""
        self.cluster.deliver_reply(self.source, key, outcome)


def _device(type_: DeviceType, memory_bytes: int, settings: SimulationSettings) -> SimulatedDevice:
    return SimulatedDevice(
        type=type_, memory_bytes=memory_bytes, jitter=settings.jitter, load_us=settings.load_us
    )
