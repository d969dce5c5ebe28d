"""A backend in virtual time: the real engine, and a device that takes the profiled time."""

import random
from collections.abc import Mapping

from nexus.backend import events
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.engine import BackendEngine
from nexus.core.cluster import BackendState, BackendStatus, Catalogue
from nexus.core.names import ModelName, SessionName
from nexus.core.plan import Plan
from nexus.core.profile import Profile
from nexus.core.request import Dispatch, Outcome
from nexus.frontend.events import BatchStarted
from nexus.simulator.connection import Connection
from nexus.simulator.fan_out import FanOuts
from nexus.simulator.process import Process
from nexus.simulator.simulated_device import SimulatedDevice
from nexus.simulator.surroundings import REPORT_US, Surroundings
from nexus.simulator.wakeup import EngineWakeup


class SimulatedBackend(Process):
    """Interprets the engine's effects."""

    def __init__(
        self,
        around: Surroundings,
        name: str,
        incarnation: int,
        *,
        device: SimulatedDevice,
        fan_outs: FanOuts,
        rng: random.Random,
    ) -> None:
        """Connected to nobody, without a plan. ``rng`` decides what its models find."""
        super().__init__(around.world, name, incarnation)
        self.device = device
        self.plan_seen = Plan()
        self.engine = BackendEngine(reply_us=around.network.settings.reserve_us, prepares=False)
        self._store = around.store
        self._to_store = around.network.lane(name, around.store.name)
        self._fan_outs = fan_outs
        self._rng = rng
        self._connections: dict[int, Connection] = {}
        self._dispatches: dict[DispatchKey, Dispatch] = {}
        self._models: dict[SessionName, ModelName] = {}
        self._catalogue = Catalogue()
        self._profiles: Mapping[ModelName, Profile] = {}
        self._arrived = self.engine.arrived
        self._next_wakeup_us = self.engine.next_wakeup_us
        self._wakeup = EngineWakeup(around.world, self._next_wakeup_us, self._tick)

    def start(self, report_at_us: int) -> None:
        """Begin to report each second."""
        self.world.at(report_at_us, self._report)

    # The cluster.

    def accept(self, connection: Connection) -> None:
        """A frontend has connected."""
        self._connections[connection.number] = connection

    def frontend_lost(self, connection: Connection) -> None:
        """A frontend's connection is no more."""
        if not self.running:
            self.wait(self.frontend_lost, connection)
            return
        self._connections.pop(connection.number, None)
        self._dispatches = {
            key: dispatch
            for key, dispatch in self._dispatches.items()
            if key.connection != connection.number
        }
        self.handle(events.ConnectionLost(connection.number))

    def kill(self) -> None:
        """Die: connections close, the device stops."""
        super().kill()
        self.device.abandon(self.world.now_us)
        for connection in self._connections.values():
            connection.close_by_backend()
        self._connections.clear()

    def read_plan(self, plan: Plan) -> None:
        """A publication was read."""
        if not self.running:
            self.wait(self.read_plan, plan)
            return
        if (plan.fence, plan.version) < (self.plan_seen.fence, self.plan_seen.version):
            return
        self.plan_seen = plan
        self._take_catalogue(self._store.catalogue)
        mine = plan.backend_plan(self.name)
        if mine is not None:
            self._models.update((p.session, p.model) for p in mine.placements)
        self.handle(events.PlanChanged(mine, plan.version, self._profiles, plan.fence))
        self._report_now()

    def status(self) -> BackendStatus:
        """What this backend reports."""
        status = self.engine.status()
        return BackendStatus(
            backend=self.name,
            incarnation=self.incarnation,
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

    def _take_catalogue(self, catalogue: Catalogue) -> None:
        if catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._profiles = {
                profile.model: profile
                for profile in catalogue.profiles
                if profile.device == self.device.type
            }

    def _report(self) -> None:
        if self.alive:
            self.world.after(REPORT_US, self._report)
            if self.running:
                self._report_now()

    def _report_now(self) -> None:
        self._to_store.send(self._store.report_backend, self, self.status())

    # Dispatches.

    def arrive(self, connection: Connection, dispatch: Dispatch) -> None:
        """A dispatch comes in from a frontend."""
        if not self.running:
            self.wait(self.arrive, connection, dispatch)
            return
        if not connection.open_at_backend:
            return
        key = DispatchKey(connection.number, dispatch.id)
        self._dispatches[key] = dispatch
        effects = self._arrived(key, dispatch, self.world.now_us)
        if effects:
            self._perform(effects)
        wakeup_us = self._next_wakeup_us()
        if wakeup_us is not None and wakeup_us < self._wakeup.pending_us:
            self._wakeup.arm(wakeup_us)

    def handle(self, event: events.BackendEvent) -> None:
        """Tell the engine, do what it says."""
        if not self.running:
            self.wait(self.handle, event)
            return
        effects = self.engine.handle(event, self.world.now_us)
        if effects:
            self._perform(effects)
        self._wakeup.look()

    def _tick(self) -> None:
        self.handle(events.Tick())

    def _perform(self, effects: tuple[events.BackendEffect, ...]) -> None:
        for effect in effects:
            match effect:
                case events.Execute():
                    self._execute(effect.batch)
                case events.Prepare():
                    preprocess_us = self._preprocess_us(self._dispatches[effect.key])
                    self.world.after(preprocess_us, self.handle, events.Prepared(effect.key))
                case events.Reject():
                    if self._dispatches.pop(effect.key, None) is not None:
                        self._reply(effect.key, effect.outcome)
                case events.SayStarted():
                    self._say_started(effect)
                case events.Load():
                    load_us = self.device.load_us(effect.placement.model)
                    self.world.after(load_us, self._loaded, effect.placement.session)
                case events.Unload() | events.Drained():
                    pass

    def _loaded(self, session: SessionName) -> None:
        if not self.running:
            self.wait(self._loaded, session)
            return
        self.handle(events.Loaded(session))
        self._report_now()

    def _preprocess_us(self, dispatch: Dispatch) -> int:
        profile = self._profiles.get(self._models.get(dispatch.session, ""))
        return profile.preprocess_us * dispatch.items if profile else 0

    def _reply(self, key: DispatchKey, outcome: Outcome) -> None:
        connection = self._connections.get(key.connection)
        if connection is not None:
            connection.reply((key.dispatch,), (outcome,))

    def _say_started(self, effect: events.SayStarted) -> None:
        event = BatchStarted(
            self.name, effect.session, effect.items, effect.busy_us, effect.queued_items
        )
        for number in effect.connections:
            connection = self._connections.get(number)
            if connection is not None:
                connection.tell_frontend(event)

    # The device.

    def _execute(self, batch: events.Batch) -> None:
        took_us = self.device.execute(batch.session, batch.model, batch.items, self.world.now_us)
        self.world.after(took_us, self._executed, batch, took_us)

    def _executed(self, batch: events.Batch, took_us: int) -> None:
        if not self.running:
            self.wait(self._executed, batch, took_us)
            return
        # The engine first, as in the server: the device must not wait for the answers.
        self.handle(events.Executed(batch.id))
        postprocess_us = self.device.profiles[batch.model].postprocess_us
        if postprocess_us:
            for key in batch.keys:
                dispatch = self._dispatches.get(key)
                if dispatch is not None:
                    delay_us = postprocess_us * dispatch.items
                    self.world.after(delay_us, self._answer, (key,), took_us, batch.items)
        else:
            self._answer(batch.keys, took_us, batch.items)

    def _answer(self, keys: tuple[DispatchKey, ...], took_us: int, batch: int) -> None:
        """Reply to executed dispatches, those of one connection together."""
        if not self.running:
            self.wait(self._answer, keys, took_us, batch)
            return
        replies: dict[int, tuple[list[int], list[Outcome]]] = {}
        plain: dict[int, Outcome] = {}
        for key in keys:
            dispatch = self._dispatches.pop(key, None)
            if dispatch is None:
                continue  # Its connection was lost.
            reply = replies.get(key.connection)
            if reply is None:
                reply = replies[key.connection] = ([], [])
            items, draws = dispatch.items, self._fan_outs.draws.get(dispatch.session)
            outcome = plain.get(items) if draws is None else None
            if outcome is None:
                found = self._fan_outs.draw(draws, items, self._rng)
                outcome = Outcome(items=found, execute_us=took_us, batch=batch)
                if draws is None:
                    plain[items] = outcome
            reply[0].append(key.dispatch)
            reply[1].append(outcome)
        for number, (ids, outcomes) in replies.items():
            connection = self._connections.get(number)
            if connection is not None:
                connection.reply(tuple(ids), tuple(outcomes))
