"""The backend engine: queues, early drop, duty cycle, loading and draining, without any I/O.

    Arrived ─► refused? ─► Prepare ─► Prepared ─► queue ─► Execute ─► Executed
                 │                                  │                    │ error
                 └────────────► Reject ◄────────────┴────────────────────┘

One batch is on the device at a time. Every dispatch that arrived ends in one Reject, or in one
Execute that succeeds (the shell then answers from its outputs), or goes with its connection.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nexus.backend import duty_cycle
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.events import (
    Arrived,
    BackendEffect,
    BackendEvent,
    Batch,
    Cancelled,
    ConnectionLost,
    Drain,
    Drained,
    Execute,
    Executed,
    Loaded,
    LoadFailed,
    PlanChanged,
    Prepare,
    Prepared,
    PrepareFailed,
    Reject,
    SayStarted,
    Tick,
    Watched,
)
from nexus.backend.hosted_session import HostedSession
from nexus.backend.latency_estimator import LatencyEstimator
from nexus.backend.model_residency import ModelResidency, Residency
from nexus.backend.refusal import DRAINING, not_hosted, refusal, too_many_items
from nexus.backend.waiting_dispatches import WaitingDispatches
from nexus.core.cluster import MeasuredLatency
from nexus.core.names import ModelName, SessionName
from nexus.core.plan import Placement
from nexus.core.request import DropReason, Outcome, dropped

REPLY_US = 2_000
"""Kept free between a batch's end and the deadline: the way back, and an event loop that is busy.
The planner takes the same off the SLO (the paper's system had 2 ms too)."""

LATE_IN_QUEUE = dropped(DropReason.DEADLINE, "it could no longer be executed in time")


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What the engine contributes to BackendStatus."""

    plan_version: int
    loaded: tuple[SessionName, ...]
    failed: Mapping[SessionName, str]
    measured: tuple[MeasuredLatency, ...]


@dataclass(frozen=True, slots=True)
class _Running:
    batch: Batch
    session: HostedSession
    started_us: int
    end_us: int


class BackendEngine:
    """Sans-io (nexus.core.engine). Drive it with the events of ``nexus.backend.events``."""

    def __init__(self, *, reply_us: int = REPLY_US) -> None:
        """Start without a plan; ``reply_us`` is kept free before each deadline for the way back."""
        self._reply_us = reply_us
        self._plan = PlanChanged(None, 0)
        self._models = ModelResidency()
        self._sessions: dict[SessionName, HostedSession] = {}
        self._last_run: SessionName = ""
        self._waiting = WaitingDispatches()
        self._running: _Running | None = None
        self._deferring = False
        self._watching: set[int] = set()
        self._batches = 0
        self._draining = False
        self._drained = False
        self._effects: list[BackendEffect] = []
        self._on: dict[type, Callable[[Any, int], None]] = {
            Arrived: self._arrived,
            Prepared: self._prepared,
            PrepareFailed: self._prepare_failed,
            Executed: self._executed,
            PlanChanged: self._plan_changed,
            Loaded: self._loaded,
            LoadFailed: self._load_failed,
            Cancelled: self._cancelled,
            ConnectionLost: self._connection_lost,
            Watched: self._watched,
            Drain: self._drain,
            Tick: self._tick,
        }

    def handle(self, event: BackendEvent, now_us: int) -> tuple[BackendEffect, ...]:
        """Take one event; return what to do, in this order."""
        self._on[type(event)](event, now_us)
        self._proceed(now_us)
        effects = tuple(self._effects)
        self._effects.clear()
        return effects

    def next_wakeup_us(self) -> int | None:
        """When to look again: a deferred batch, a dispatch that expires, a load to be retried."""
        times = [self._look_us(session) for session in self._sessions.values() if session.queue]
        retry_us = self._models.next_retry_us()
        if retry_us is not None:
            times.append(retry_us)
        return min(times, default=None)

    def status(self) -> EngineStatus:
        """What is loaded, what failed, which plan is acted on, and what was measured."""
        hosted = [session for session in self._sessions.values() if not session.leaving]
        failed = {
            name: f"model {placement.model!r} has no profile on this device type"
            for name, placement in self._wanted().items()
            if name not in self._sessions
        }
        for session in hosted:
            if session.model.residency is Residency.FAILED:
                failed[session.placement.session] = session.model.message
        return EngineStatus(
            plan_version=self._plan.version,
            loaded=tuple(sorted(s.placement.session for s in hosted if s.model.resident)),
            failed=failed,
            measured=tuple(m for model in self._models for m in model.estimator.measured()),
        )

    def queued_items(self) -> dict[SessionName, int]:
        """Items of each session that wait or are being prepared."""
        return {name: session.items for name, session in self._sessions.items()}

    def profile_errors(self) -> dict[ModelName, tuple[int, int]]:
        """Measured and profiled latency (us) of each model's largest batch with a measurement."""
        return {
            measured.model: (
                measured.latency_us,
                model.estimator.profile.latency_us(measured.batch),
            )
            for model in self._models
            for measured in model.estimator.measured()
        }

    # Dispatches.

    def _arrived(self, event: Arrived, now_us: int) -> None:
        key, dispatch = event.key, event.dispatch
        session = self._sessions.get(dispatch.session)
        if self._draining:
            self._reject(key, DRAINING)
        elif session is None or session.leaving or not session.model.resident:
            self._reject(key, not_hosted(dispatch.session))
        elif outcome := refusal(session, dispatch, self._free_us(now_us), self._reply_us, now_us):
            self._reject(key, outcome)
        else:
            due_us = session.due_us(dispatch, self._reply_us)
            self._waiting.admit(session, key, dispatch, due_us, now_us)
            self._effects.append(Prepare(key))

    def _prepared(self, event: Prepared, _now_us: int) -> None:
        prepared = self._waiting.prepared(event.key)
        if prepared is None:
            return
        session, queued = prepared
        if queued.items > session.batch_max:  # It was profiled anew in the meantime.
            self._reject(event.key, too_many_items(queued.items, session))
        else:
            self._waiting.enqueue(session, queued)

    def _prepare_failed(self, event: PrepareFailed, _now_us: int) -> None:
        if self._waiting.prepared(event.key) is not None:
            self._reject(event.key, event.outcome)

    def _cancelled(self, event: Cancelled, _now_us: int) -> None:
        if self._waiting.withdraw(event.key):
            self._reject(event.key, dropped(DropReason.CANCELLED))

    def _connection_lost(self, event: ConnectionLost, _now_us: int) -> None:
        self._watching.discard(event.connection)
        for key in self._waiting.of_connection(event.connection):
            self._waiting.withdraw(key)

    def _watched(self, event: Watched, _now_us: int) -> None:
        if event.on:
            self._watching.add(event.connection)
        else:
            self._watching.discard(event.connection)

    def _reject(self, key: DispatchKey, outcome: Outcome) -> None:
        self._effects.append(Reject(key, outcome))

    # The device.

    def _free_us(self, now_us: int) -> int:
        """When the device is expected to be free."""
        return now_us if self._running is None else max(now_us, self._running.end_us)

    def _executed(self, event: Executed, now_us: int) -> None:
        running, self._running = self._running, None
        assert running is not None, event
        batch = running.batch
        assert batch.id == event.batch_id, (batch, event)
        if event.error:
            for key in batch.keys:
                self._reject(key, dropped(DropReason.ERROR, event.error))
        else:
            took_us = now_us - running.started_us
            running.session.model.estimator.observe(batch.items, took_us, now_us)

    def _proceed(self, now_us: int) -> None:
        """Start a batch if the device is free, give up what is too late, tidy up."""
        if self._waiting.queued:
            if self._running is None:
                self._start_batch(now_us)
            self._drop_expired(now_us)
        if any(session.leaving for session in self._sessions.values()):
            self._converge()
        if self._draining and not (self._drained or self._waiting or self._running):
            self._drained = True
            self._effects.append(Drained())

    def _start_batch(self, now_us: int) -> None:
        sessions = self._in_turn()
        turns = [self._turn(session) for session in sessions]
        windows = duty_cycle.windows(turns, now_us, deferring=self._deferring)
        for session, window in zip(sessions, windows, strict=True):
            self._drop(session, window.dropped)
        choice = duty_cycle.choose(turns, windows, now_us)
        self._deferring = choice is None and self._waiting.queued
        if choice is not None:
            self._execute(sessions[choice.turn], choice, now_us)

    def _turn(self, session: HostedSession) -> duty_cycle.Turn:
        return session.turn(self._reply_us, draining=self._draining)

    def _look_us(self, session: HostedSession) -> int:
        """When something is to be done for what waits, although nothing happens."""
        head = session.queue.waiting[0]
        if self._running is None:
            start_us = duty_cycle.start_us(self._turn(session))
            if start_us is not None:
                return start_us
        return head.due_us - session.latency_us(head.items) + 1

    def _in_turn(self) -> list[HostedSession]:
        """The sessions that can run, beginning after the one that ran last."""
        names = list(self._sessions)
        start = names.index(self._last_run) + 1 if self._last_run in self._sessions else 0
        ordered = (self._sessions[name] for name in names[start:] + names[:start])
        return [session for session in ordered if session.model.resident]

    def _execute(self, session: HostedSession, choice: duty_cycle.Choice, now_us: int) -> None:
        keys = tuple(queued.key for queued in self._waiting.take(session, choice.taken))
        self._batches += 1
        self._last_run = session.placement.session
        batch = Batch(self._batches, self._last_run, session.model.name, keys, choice.items)
        end_us = now_us + session.latency_us(batch.items)
        self._running = _Running(batch, session, now_us, end_us)
        self._effects.append(Execute(batch))
        if self._watching:
            self._effects.append(self._started(batch, session, end_us - now_us))

    def _started(self, batch: Batch, session: HostedSession, busy_us: int) -> SayStarted:
        connections = tuple(sorted(self._watching))
        return SayStarted(connections, batch.session, batch.items, busy_us, session.items)

    def _drop_expired(self, now_us: int) -> None:
        """Refuse at once the heads that would be late even if they ran next, alone."""
        free_us = self._free_us(now_us)
        for session in self._sessions.values():
            waiting = session.queue.waiting
            while waiting and free_us + session.latency_us(waiting[0].items) > waiting[0].due_us:
                self._drop(session, 1)

    def _drop(self, session: HostedSession, count: int) -> None:
        for queued in self._waiting.take(session, count):
            self._reject(queued.key, LATE_IN_QUEUE)

    # The plan.

    def _plan_changed(self, event: PlanChanged, _now_us: int) -> None:
        if (event.fence, event.version) < (self._plan.fence, self._plan.version):
            return
        self._plan = event
        wanted = self._wanted()
        for name, session in self._sessions.items():
            placement = wanted.get(name)
            session.leaving = placement is None or placement.model != session.model.name
            if placement is not None and not session.leaving:
                session.placement = placement
                self._renew_profile(session)
        self._converge()

    def _loaded(self, event: Loaded, _now_us: int) -> None:
        self._effects.extend(self._models.loaded(event.session))

    def _load_failed(self, event: LoadFailed, now_us: int) -> None:
        self._models.failed(event.session, event.message, now_us)

    def _tick(self, _event: Tick, now_us: int) -> None:
        self._effects.extend(self._models.retry(now_us))

    def _drain(self, _event: Drain, _now_us: int) -> None:
        self._draining = True

    def _wanted(self) -> dict[SessionName, Placement]:
        placements = self._plan.plan.placements if self._plan.plan else ()
        return {placement.session: placement for placement in placements}

    def _converge(self) -> None:
        """Forget what left the plan and has nothing here any more; host what is new in it.

        In this order, so that a device is not asked to hold both where it need not.
        """
        running = self._running.session if self._running else None
        left = [s for s in self._sessions.values() if s.leaving and s.idle and s is not running]
        for session in left:
            name = session.placement.session
            del self._sessions[name]
            self._effects.extend(self._models.release(name, session.model.name))
        for name, placement in self._wanted().items():
            profile = self._plan.profiles.get(placement.model)
            if name not in self._sessions and profile is not None:
                self._effects.extend(self._models.use(placement, profile))
                self._sessions[name] = HostedSession(placement, self._models[placement.model])

    def _renew_profile(self, session: HostedSession) -> None:
        """Go by the newest profile; what no longer fits its largest batch cannot be served."""
        profile = self._plan.profiles.get(session.model.name)
        if profile is not None and profile != session.model.estimator.profile:
            session.model.estimator = LatencyEstimator(profile)
        for queued in tuple(session.queue.waiting):
            if queued.items > session.batch_max:
                self._waiting.withdraw(queued.key)
                self._reject(queued.key, too_many_items(queued.items, session))
