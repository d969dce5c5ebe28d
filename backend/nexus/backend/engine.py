"""The backend engine: queues, early drop, duty cycle, loading and draining, without any I/O.

    Arrived ─► refused? ─► Prepare ─► Prepared ─► queue ─► Execute ─► Executed
                 │                                  │                    │ error
                 └────────────► Reject ◄────────────┴────────────────────┘

One batch is on the device at a time. Every dispatch that arrived ends in one Reject, or in one
Execute that succeeds (the shell then answers from its outputs), or goes with its connection.

A batch of a model that runs by chunks is one chunk: what is unfinished after it stays with its
group, and goes on in the group's next batch (ADR 0028).

What happens once a dispatch (``arrived``) costs the same however many wait; what looks at all
groups of sessions happens once a batch, and when the plan changes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nexus.backend import deferral, duty_cycle
from nexus.backend.batches import batch_of
from nexus.backend.begun import Begun
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.events import (
    Arrived,
    BackendEffect,
    BackendEvent,
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
from nexus.backend.hosted_group import HostedGroup
from nexus.backend.hosted_session import HostedSession
from nexus.backend.hosting import Hosting
from nexus.backend.refusal import DRAINING, not_hosted, refusal, too_many_items
from nexus.backend.running import Running
from nexus.backend.waiting_dispatches import WaitingDispatches
from nexus.core.cluster import MeasuredLatency
from nexus.core.names import ModelName, SessionName
from nexus.core.request import Dispatch, DropReason, Outcome, dropped

REPLY_US = 2_000
"""Kept free between a batch's end and the deadline: the way back, and an event loop that is busy.
The planner takes the same off the SLO (the paper's system had 2 ms too)."""

LATE_IN_QUEUE = dropped(DropReason.DEADLINE, "it could no longer be executed in time")

CANCELLED = dropped(DropReason.CANCELLED)

Effects = tuple[BackendEffect, ...]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What the engine contributes to BackendStatus."""

    plan_version: int
    loaded: tuple[SessionName, ...]
    failed: Mapping[SessionName, str]
    measured: tuple[MeasuredLatency, ...]


class BackendEngine:
    """Sans-io (nexus.core.engine). Drive it with the events of ``nexus.backend.events``."""

    def __init__(
        self, *, reply_us: int = REPLY_US, early_us: int = 0, prepares: bool = True
    ) -> None:
        """Start without a plan.

        Args:
            reply_us: kept free before each deadline, for the way back.
            early_us: how late a Tick may come; deferred batches start that much before their time.
            prepares: whether every dispatch is prepared; else those go straight to the queue whose
                profile says that it takes no time.
        """
        self._reply_us = reply_us
        self._prepares = prepares
        self._hosting = Hosting(reply_us, early_us)
        self._sessions = self._hosting.sessions
        self._groups: list[HostedGroup] = []
        self._turn = 0
        self._waiting = WaitingDispatches()
        self._running: Running | None = None
        self._deferring = False
        self._look_us: int | None = None
        self._look_known = True
        self._retry_us: int | None = None
        self._watching: set[int] = set()
        self._batches = 0
        self._drained = False
        self._effects: list[BackendEffect] = []
        self._on: dict[type, Callable[[Any, int], None]] = {
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

    def handle(self, event: BackendEvent, now_us: int) -> Effects:
        """Take one event; return what to do, in this order."""
        if type(event) is Arrived:
            return self.arrived(event.key, event.dispatch, now_us)
        self._on[type(event)](event, now_us)
        return self._flush()

    def arrived(self, key: DispatchKey, dispatch: Dispatch, now_us: int) -> Effects:
        """``handle(Arrived(key, dispatch), now_us)``, less the event."""
        session = self._sessions.get(dispatch.session)
        if session is None or not session.taking:
            closed = DRAINING if self._hosting.draining else not_hosted(dispatch.session)
            return (Reject(key, closed),)
        due_us = dispatch.deadline_us - dispatch.items * session.postprocess_us - self._reply_us
        free_us = now_us if self._running is None else self._running.end_us
        refused = refusal(session, dispatch, due_us, free_us, now_us)
        if refused is not None:
            return (Reject(key, refused),)
        queued = self._waiting.admit(session, key, dispatch, due_us)
        if self._prepares or session.preprocess_us:
            self._waiting.prepare(key)
            return (Prepare(key),)
        self._enqueue(session, queued, now_us)
        return self._flush() if self._effects else ()

    def next_wakeup_us(self) -> int | None:
        """When to look again: a deferred batch, a dispatch that expires, a load to be retried."""
        if not self._look_known:
            self._find_look()
        if self._retry_us is None:
            return self._look_us
        return self._retry_us if self._look_us is None else min(self._look_us, self._retry_us)

    def status(self) -> EngineStatus:
        """What is loaded, what failed, which plan is acted on, and what was measured."""
        return EngineStatus(
            plan_version=self._hosting.plan.version,
            loaded=self._hosting.loaded(),
            failed=self._hosting.failed(),
            measured=tuple(m for e in self._hosting.estimators() for m in e.measured()),
        )

    def queued_items(self) -> dict[SessionName, int]:
        """Items of each session that wait or are being prepared."""
        return {name: session.items for name, session in self._sessions.items()}

    def profile_errors(self) -> dict[ModelName, tuple[int, int]]:
        """Measured and profiled latency (us) of each model's largest batch with a measurement."""
        return {
            measured.model: (measured.latency_us, estimator.profile.latency_us(measured.batch))
            for estimator in self._hosting.estimators()
            for measured in estimator.measured()
        }

    # Dispatches.

    def _prepared(self, event: Prepared, now_us: int) -> None:
        prepared = self._waiting.prepared(event.key)
        if prepared is not None:
            queued, session = prepared
            self._enqueue(session, queued, now_us)

    def _enqueue(self, session: HostedSession, queued: Queued, now_us: int) -> None:
        """A dispatch may go to the device: start what it completes, or note when to look again."""
        group = session.group
        group.queue.push(queued)
        if self._running is None:
            start_us = self._start_us(group)
            if start_us is None or start_us <= now_us:
                self._proceed(now_us)
            else:
                self._deferring = True
                self._look_at(group, start_us)
        elif group.queue.waiting[0] is queued:
            self._look_at(group, group.expiry_us())

    def _prepare_failed(self, event: PrepareFailed, now_us: int) -> None:
        self._withdraw(event.key, event.outcome)
        self._proceed(now_us)

    def _cancelled(self, event: Cancelled, now_us: int) -> None:
        self._withdraw(event.key, CANCELLED)
        self._withdraw_begun(lambda key: key == event.key, CANCELLED)
        self._proceed(now_us)

    def _connection_lost(self, event: ConnectionLost, now_us: int) -> None:
        self._watching.discard(event.connection)
        for key in self._waiting.of_connection(event.connection):
            self._waiting.withdraw(key)
        self._withdraw_begun(lambda key: key.connection == event.connection, None)
        self._proceed(now_us)

    def _watched(self, event: Watched, _now_us: int) -> None:
        if event.on:
            self._watching.add(event.connection)
        else:
            self._watching.discard(event.connection)

    def _withdraw(self, key: DispatchKey, outcome: Outcome) -> None:
        """Answer a dispatch that waits; one that does not is executing, or answered already."""
        if self._waiting.withdraw(key):
            self._effects.append(Reject(key, outcome))

    def _withdraw_begun(self, of: Callable[[DispatchKey], bool], outcome: Outcome | None) -> None:
        """Answer those that are between two chunks now, and those in one at its end; None: not."""
        if self._running is not None:
            self._running.withdraw(of, outcome)
        for group in self._groups:
            for one in [one for one in group.begun if of(one.queued.key)]:
                group.begun.remove(one)
                if outcome is not None:
                    self._effects.append(Reject(one.queued.key, outcome))

    def _flush(self) -> Effects:
        effects = tuple(self._effects)
        self._effects.clear()
        return effects

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
            outcome = dropped(DropReason.ERROR, event.error)
            self._effects.extend(Reject(key, outcome) for key in batch.keys)
        elif running.begun:
            for one in running.chunk_ended(event.unfinished, now_us):
                self._go_on(one, running.withdrawn)
        else:
            assert not event.unfinished, event
            running.whole_ended(now_us)
        self._proceed(now_us)

    def _go_on(self, one: Begun, withdrawn: Mapping[DispatchKey, Outcome | None]) -> None:
        """In the next batch of its session's group, or anew if that runs no chunks any more."""
        key, session = one.queued.key, self._sessions[one.queued.session]
        if key in withdrawn:
            outcome = withdrawn[key]
            if outcome is not None:
                self._effects.append(Reject(key, outcome))
        elif session.group.chunk_us:
            session.group.begun.append(one)
        else:
            self._waiting.readmit(session, one.queued)

    def _proceed(self, now_us: int) -> None:
        """Start a batch if the device is free, give up what is too late, tidy up."""
        if self._waiting.queued or any(group.begun for group in self._groups):
            if self._running is None:
                self._start_batch(now_us)
            self._drop_expired(now_us)
        if self._hosting.leaving:
            self._effects += self._hosting.converge(self._executing())
            self._renew_groups()
        if self._hosting.draining and not (self._drained or self._waiting or self._running):
            self._drained = True
            self._effects.append(Drained())
        self._look_anew()

    def _start_batch(self, now_us: int) -> None:
        ran = self._groups[self._turn - 1]
        goes_on = bool(ran.begun) and ran.goes_on
        first = self._turn - 1 if goes_on else self._turn
        groups = self._groups[first:] + self._groups[:first]
        turns = [group.turn for group in groups]
        alone = len(groups) == 1
        for group in groups:
            if group.begun:
                self._give_up(group, group.belated(now_us))
        behind_us = sum(group.waiting_us() for group in groups[1:]) if goes_on else 0
        windows = [
            group.window(
                now_us,
                deferring=self._deferring,
                alone=alone,
                behind_us=behind_us if group is ran else 0,
            )
            for group in groups
        ]
        for group, window in zip(groups, windows, strict=True):
            if window.dropped:
                self._drop(group, window.dropped)
        choice = duty_cycle.choose(turns, windows, now_us)
        self._deferring = choice is None
        if choice is not None:
            group = groups[choice.turn]
            self._turn = (first + choice.turn + 1) % len(groups)
            if not goes_on or group is not ran:
                group.in_turn.clear()
            self._execute(group, self._waiting.take(group, choice.taken), now_us)

    def _execute(self, group: HostedGroup, taken: Sequence[Queued], now_us: int) -> None:
        self._batches += 1
        if group.chunk_us:
            begun, busy_us, ends_with = group.begin(taken, now_us)
            together = [one.queued for one in begun]
            batch = batch_of(self._batches, group, together, ends_with)
        else:
            begun = ()
            batch = batch_of(self._batches, group, taken)
            busy_us = group.turn.latencies_us[batch.items]
        self._running = Running(batch, group.estimator, now_us, now_us + busy_us, begun)
        self._effects.append(Execute(batch))
        if self._watching:
            connections = tuple(sorted(self._watching))
            items = sum([queued.items for queued in taken])
            self._effects.append(
                SayStarted(connections, batch.session, items, busy_us, group.items)
            )

    def _drop_expired(self, now_us: int) -> None:
        """Refuse at once the heads that would be late even if they ran next, alone."""
        free_us = self._free_us(now_us)
        for group in self._groups:
            while group.queue.waiting and group.head_expiry_us() <= free_us:
                self._drop(group, 1)
            if group.begun:
                self._give_up(group, group.expired(free_us))

    def _give_up(self, group: HostedGroup, belated: Sequence[Begun]) -> None:
        """Refuse those that have begun, and cannot be in time any more."""
        for one in belated:
            group.begun.remove(one)
            self._effects.append(Reject(one.queued.key, LATE_IN_QUEUE))

    def _drop(self, group: HostedGroup, count: int) -> None:
        for queued in self._waiting.take(group, count):
            self._effects.append(Reject(queued.key, LATE_IN_QUEUE))

    # When to look again.

    def _look_at(self, group: HostedGroup, look_us: int) -> None:
        """The time of one group has changed."""
        previous_us, group.look_us = group.look_us, look_us
        if self._look_us is None or look_us <= self._look_us:
            self._look_us = look_us
        elif previous_us == self._look_us:
            self._look_known = False

    def _look_anew(self) -> None:
        """The time of every group may have changed."""
        idle = self._running is None
        for group in self._groups:
            if group.queue.waiting or group.begun:
                start_us = self._start_us(group) if idle else None
                group.look_us = group.expiry_us() if start_us is None else start_us
            else:
                group.look_us = None
        self._find_look()

    def _start_us(self, group: HostedGroup) -> int | None:
        """When the idle device starts a batch because of what waits in a group; None: at once."""
        start_us = group.start_us()
        if start_us is None or len(self._groups) == 1:
            return start_us
        waiting = [deferred for other in self._groups if (deferred := other.deferred())]
        first_us = deferral.first_start_us(waiting)
        return start_us if first_us is None else min(start_us, first_us)

    def _find_look(self) -> None:
        times = [group.look_us for group in self._groups if group.look_us is not None]
        self._look_us = min(times, default=None)
        self._look_known = True

    # The plan.

    def _plan_changed(self, event: PlanChanged, now_us: int) -> None:
        plan = self._hosting.plan
        if (event.fence, event.version) < (plan.fence, plan.version):
            return
        self._effects += self._hosting.change(event, self._executing())
        self._renew_groups()
        self._begin_anew()
        for queued, session in tuple(self._waiting):
            # What no longer fits the largest batch of a newer profile cannot be served.
            if queued.items > session.group.batch_max:
                self._withdraw(queued.key, too_many_items(queued.items, session))
        self._proceed(now_us)

    def _begin_anew(self) -> None:
        """What has begun in a group that has chunks, and is in one now that has none, waits."""
        for group in self._groups:
            if group.begun and not group.chunk_us:
                for one in group.begun:
                    self._waiting.readmit(self._sessions[one.queued.session], one.queued)
                group.begun.clear()

    def _loaded(self, event: Loaded, now_us: int) -> None:
        self._effects += self._hosting.models.loaded(event.session, event.chunk_us)
        self._renew_groups()
        self._proceed(now_us)

    def _load_failed(self, event: LoadFailed, now_us: int) -> None:
        self._hosting.models.failed(event.session, event.message, now_us)
        self._retry_us = self._hosting.models.next_retry_us()

    def _tick(self, _event: Tick, now_us: int) -> None:
        if self._retry_us is not None and self._retry_us <= now_us:
            self._effects += self._hosting.models.retry(now_us)
            self._retry_us = self._hosting.models.next_retry_us()
        self._proceed(now_us)

    def _drain(self, _event: Drain, now_us: int) -> None:
        self._hosting.draining = True
        self._renew_groups()
        self._proceed(now_us)

    def _executing(self) -> Collection[SessionName]:
        """The sessions of which something is on the device, or between two chunks."""
        sessions = {one.queued.session for group in self._groups for one in group.begun}
        return sessions.union(self._running.batch.shares) if self._running else sessions

    def _renew_groups(self) -> None:
        """Go on with the groups that can run, in the order of before."""
        self._hosting.renew()
        ran = self._groups[self._turn - 1] if self._groups else None
        self._groups = [group for group in self._hosting.groups.values() if group.resident]
        self._turn = self._groups.index(ran) + 1 if ran in self._groups else 0
        self._retry_us = self._hosting.models.next_retry_us()
