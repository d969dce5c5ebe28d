"""A backend in virtual time: the real engine, and a device that takes the profiled time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from nexus.backend import events
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.engine import BackendEngine
from nexus.core.cluster import BackendState, BackendStatus
from nexus.core.names import BackendName, DeviceType, ModelName, SessionName
from nexus.core.plan import Plan
from nexus.core.profile import Profile
from nexus.core.request import Dispatch, Outcome
from nexus.core.units import US_PER_S
from nexus.simulator.fan_out import FanOuts
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDevice:
    """``jitter`` is the relative standard deviation of a batch's time; ``load_us`` per model."""

    type: DeviceType
    memory_bytes: int = 0
    jitter: float = 0.0
    load_us: int = US_PER_S


@dataclass(slots=True)
class SimulatedBackend:
    """Interprets the engine's effects. ``reply`` takes (key, outcome) towards the frontend."""

    world: World
    name: BackendName
    device: SimulatedDevice
    profiles: dict[ModelName, Profile]
    fan_outs: FanOuts
    rng: random.Random
    reply: Callable[[DispatchKey, Outcome], None]
    engine: BackendEngine = field(default_factory=BackendEngine)
    busy: list[tuple[int, int]] = field(default_factory=list)
    batches: dict[SessionName, dict[int, int]] = field(default_factory=dict)
    alive: bool = True
    _dispatches: dict[DispatchKey, Dispatch] = field(default_factory=dict)
    _models: dict[SessionName, ModelName] = field(default_factory=dict)
    _wakeup: Wakeup = field(init=False)

    def __post_init__(self) -> None:
        """Let the engine be woken."""
        self._wakeup = Wakeup(self.world, lambda: self.handle(events.Tick()))

    def arrive(self, key: DispatchKey, dispatch: Dispatch) -> None:
        """A dispatch comes in from a frontend."""
        self._dispatches[key] = dispatch
        self.handle(events.Arrived(key, dispatch))

    def take_plan(self, plan: Plan) -> None:
        """The published plan was read."""
        mine = plan.backend_plan(self.name)
        if mine is not None:
            self._models.update((p.session, p.model) for p in mine.placements)
        self.handle(events.PlanChanged(mine, plan.version, self.profiles))

    def kill(self) -> None:
        """Die as by kill -9: nothing is answered any more."""
        self.alive = False

    def status(self) -> BackendStatus:
        """What this backend would report."""
        status = self.engine.status()
        return BackendStatus(
            backend=self.name,
            incarnation=1,
            address=self.name,
            control_address=self.name,
            device=self.device.type,
            memory_bytes=self.device.memory_bytes,
            state=BackendState.SERVING,
            plan_version=status.plan_version,
            loaded=status.loaded,
            failed=status.failed,
            measured=status.measured,
        )

    def handle(self, event: events.BackendEvent) -> None:
        """Tell the engine, do what it says."""
        if not self.alive:
            return
        for effect in self.engine.handle(event, self.world.now_us):
            self._perform(effect)
        self._wakeup.set(self.engine.next_wakeup_us())

    def _perform(self, effect: events.BackendEffect) -> None:
        match effect:
            case events.Prepare():
                dispatch = self._dispatches[effect.key]
                self.world.after(
                    self._preprocess_us(dispatch),
                    lambda: self.handle(events.Prepared(effect.key)),
                )
            case events.Execute():
                self._execute(effect.batch)
            case events.Reject():
                self._dispatches.pop(effect.key, None)
                self.reply(effect.key, effect.outcome)
            case events.Load():
                session = effect.placement.session
                self.world.after(self.device.load_us, lambda: self.handle(events.Loaded(session)))
            case events.Unload() | events.Drained():
                pass

    def _preprocess_us(self, dispatch: Dispatch) -> int:
        profile = self.profiles.get(self._models.get(dispatch.session, ""))
        return profile.preprocess_us * dispatch.items if profile else 0

    def _execute(self, batch: events.Batch) -> None:
        profiled_us = self.profiles[batch.model].latency_us(batch.items)
        factor = max(0.5, self.rng.gauss(1.0, self.device.jitter)) if self.device.jitter else 1.0
        took_us = round(profiled_us * factor)
        self.busy.append((self.world.now_us, took_us))
        sizes = self.batches.setdefault(batch.session, {})
        sizes[batch.items] = sizes.get(batch.items, 0) + 1
        self.world.after(took_us, lambda: self._executed(batch, took_us))

    def _executed(self, batch: events.Batch, took_us: int) -> None:
        if not self.alive:
            return
        for key in batch.keys:
            dispatch = self._dispatches.pop(key, None)
            if dispatch is not None:
                found = self.fan_outs.draw(dispatch.session, dispatch.items, self.rng)
                self.reply(key, Outcome(items=found, execute_us=took_us, batch=batch.items))
        self.handle(events.Executed(batch.id))
