"""Drives the engine in real time: clock, timer, pool, device, and the replies.

It holds no decisions. Everything here runs on the event loop; only ``prepare`` and ``answer`` of
loaded models run in the pool, and only where the executor says that they are worth a thread.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

from nexus.backend import events
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.engine import BackendEngine
from nexus.backend.executor import Answer, Executor, Left, LoadedModel, Outputs, Part
from nexus.backend.in_flight import InFlight, InFlightTable
from nexus.backend.models import ResidentModels
from nexus.backend.refusal import id_in_use
from nexus.core.clock import Clock
from nexus.core.errors import InvalidArgumentError, NexusError
from nexus.core.plan import Placement
from nexus.core.request import Dispatch, DropReason, Outcome, dropped
from nexus.core.tensor import Tensor
from nexus.core.units import s_from_us
from nexus.telemetry.backend import BackendMetrics

logger = logging.getLogger(__name__)
T = TypeVar("T")

EXPIRED = dropped(DropReason.DEADLINE, "its deadline passed before it could be prepared")


class EngineDriver:
    """The engine, running.

    ``drained`` is set once the engine has nothing left to do, ``answered`` while no answer is owed.
    """

    def __init__(
        self,
        *,
        engine: BackendEngine,
        executor: Executor[Any],
        models: ResidentModels,
        clock: Clock,
        metrics: BackendMetrics,
        prepare_workers: int,
    ) -> None:
        """Set ``reply``, ``say_started`` and ``on_status`` before the first event."""
        self.engine = engine
        self.drained = asyncio.Event()
        self.answered = asyncio.Event()
        self.answered.set()
        self.in_flight = InFlightTable()
        self.reply: Callable[[DispatchKey, Outcome], None] = lambda _key, _outcome: None
        self.say_started: Callable[[events.SayStarted], None] = lambda _: None
        self.on_status: Callable[[], None] = lambda: None
        self._executor = executor
        self._models = models
        self._clock = clock
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(prepare_workers, thread_name_prefix="prepare")
        self._events: deque[events.BackendEvent] = deque()
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0
        self._running: set[asyncio.Task[None]] = set()

    def arrived(self, key: DispatchKey, dispatch: Dispatch, tensors: tuple[Tensor, ...]) -> None:
        """A frontend sent a dispatch."""
        if key in self.in_flight:
            self.reply(key, id_in_use(key.dispatch))
            return
        self.in_flight.add(InFlight(key, dispatch, tensors, self._clock.now_us()))
        self.answered.clear()
        self.tell(events.Arrived(key, dispatch))

    def connection_lost(self, connection: int) -> None:
        """Nobody waits for the answers of a connection any more."""
        self.tell(events.ConnectionLost(connection))
        for entry in self.in_flight.forget_connection(connection):
            self._abandon(entry)
        self._note_answered()

    def tell(self, event: events.BackendEvent) -> None:
        """Take an event now; one that an effect causes comes after the effects before it."""
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                now_us = self._clock.now_us()
                for effect in self.engine.handle(self._events.popleft(), now_us):
                    self._perform(effect)
        finally:
            self._handling = False
        self._set_timer()

    def close(self) -> None:
        """Stop the timer and the pool."""
        if self._timer is not None:
            self._timer.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _perform(self, effect: events.BackendEffect) -> None:
        match effect:
            case events.Prepare(key):
                self._prepare(key)
            case events.Execute(batch):
                self._spawn(self._execute(batch))
            case events.Reject(key, outcome):
                self._reject(key, outcome)
            case events.Load(placement):
                self._spawn(self._load(placement))
            case events.Unload(_, model):
                self._spawn(self._models.unload(model))
            case events.SayStarted():
                self.say_started(effect)
            case events.Drained():
                self.drained.set()

    def _set_timer(self) -> None:
        """Have the engine woken in time. A timer that is set earlier than needed only ticks."""
        wakeup_us = self.engine.next_wakeup_us()
        if wakeup_us is None or (self._timer is not None and self._timer_us <= wakeup_us):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_us = wakeup_us
        delay_us = max(0, wakeup_us - self._clock.now_us())
        self._timer = self._loop.call_later(s_from_us(delay_us), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.tell(events.Tick())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # Preparing and answering.

    def _prepare(self, key: DispatchKey) -> None:
        entry = self.in_flight.get(key)
        assert entry is not None, key
        entry.model = self._models.model_of(entry.dispatch.session)
        model = self._models[entry.model]
        self._pooled(partial(self._prepare_now, entry, model), partial(self._prepared, entry))

    def _prepare_now(self, entry: InFlight, model: LoadedModel) -> Outcome | None:
        """In the pool: fill ``entry.prepared``, or say why it cannot be."""
        started_us = self._clock.now_us()
        if started_us > entry.dispatch.deadline_us:
            return EXPIRED
        try:
            entry.prepared = model.prepare(entry.dispatch, entry.tensors)
        except InvalidArgumentError as error:
            return dropped(DropReason.INVALID, error.message)
        if self._executor.pooled:
            took_us = self._clock.now_us() - started_us
            self._metrics.preprocessed(entry.dispatch.session, took_us)
        return None

    def _prepared(self, entry: InFlight, failure: Outcome | None, error: str) -> None:
        entry.tensors = ()
        if error:
            failure = dropped(DropReason.ERROR, error)
        if failure is None:
            self.tell(events.Prepared(entry.key))
        else:
            self.tell(events.PrepareFailed(entry.key, failure))

    def _answer(self, entry: InFlight, outputs: Outputs) -> None:
        model = self._models[entry.model]
        self._pooled(
            partial(self._answer_now, entry, model, outputs), partial(self._answered, entry)
        )

    def _answer_now(self, entry: InFlight, model: LoadedModel, outputs: Outputs) -> Answer:
        started_us = self._clock.now_us()
        answer = model.answer(entry.prepared, outputs)
        if self._executor.pooled:
            took_us = self._clock.now_us() - started_us
            self._metrics.postprocessed(entry.dispatch.session, took_us)
        return answer

    def _answered(self, entry: InFlight, answer: Answer | None, error: str) -> None:
        if self.in_flight.pop(entry.key) is None:
            return
        self._note_answered()
        if answer is None:
            self._count_drop(entry, DropReason.ERROR)
            self.reply(entry.key, dropped(DropReason.ERROR, error))
            return
        outcome = Outcome(
            tensors=answer.tensors,
            items=answer.items,
            queue_us=entry.started_us - entry.arrived_us,
            execute_us=entry.ended_us - entry.started_us,
            batch=entry.batch,
        )
        self.reply(entry.key, outcome)

    def _pooled(self, work: Callable[[], T], done: Callable[[T | None, str], None]) -> None:
        """Do ``work`` in the pool, or here if that is cheaper; then ``done`` here."""
        if not self._executor.pooled:
            done(*_guarded(work))
            return
        future = self._loop.run_in_executor(self._pool, _guarded, work)

        def finish(finished: asyncio.Future[tuple[T | None, str]]) -> None:
            if not finished.cancelled():
                done(*finished.result())

        future.add_done_callback(finish)

    def _reject(self, key: DispatchKey, outcome: Outcome) -> None:
        entry = self.in_flight.pop(key)
        self._note_answered()
        if entry is not None:
            self._abandon(entry)
            assert outcome.reason is not None, outcome
            self._count_drop(entry, outcome.reason)
            self.reply(key, outcome)

    def _note_answered(self) -> None:
        if not self.in_flight:
            self.answered.set()

    def _count_drop(self, entry: InFlight, reason: DropReason) -> None:
        self._metrics.dropped(entry.dispatch.session, reason, entry.dispatch.items)

    # The device.

    async def _execute(self, batch: events.Batch) -> None:
        entries = self.in_flight.of(batch.keys)
        started_us = self._clock.now_us()
        for entry in entries:
            entry.batch = batch.items
            if not entry.begun:
                entry.started_us = started_us
        error, outputs = "", None
        try:
            outputs = await self._run(batch, entries)
        except NexusError as failure:
            error = failure.message
        except Exception as failure:  # a defect must cost this batch, not the device
            logger.exception("batch_failed", extra={"session": batch.session})
            error = f"{type(failure).__name__}: {failure}"
        results = [] if outputs is None else list(zip(entries, outputs, strict=True))
        left = {entry.key: rows.share for entry, rows in results if isinstance(rows, Left)}
        whole = not any(entry.begun for entry in entries)
        for entry in entries:
            entry.begun = entry.begun and (outputs is None or entry.key in left)
        # The engine first: the device must not wait for the answers.
        self.tell(events.Executed(batch.id, error, left))
        if outputs is None:
            return
        self._count_batch(batch, entries, started_us, whole=whole)
        for entry, rows in results:
            if entry.key not in left:
                self._answer(entry, rows)

    async def _run(self, batch: events.Batch, entries: list[InFlight]) -> Sequence[Outputs | Left]:
        """One batch of a model, or a chunk, or a batch of the prefix group of that name."""
        if all(entry.model == batch.model for entry in entries):
            model = self._models[batch.model]
            prepared = [entry.prepared for entry in entries]
            if not model.chunk_us:
                return await self._executor.execute(model, prepared)
            for entry in entries:
                entry.begun = True
            last = next((e.prepared for e in entries if e.key == batch.ends_with), None)
            return await self._executor.advance(model, prepared, last)
        for entry in entries:  # What had begun in another group begins anew.
            self._abandon(entry)
            entry.begun = False
        profile = self._models.profile(batch.model)
        assert profile is not None, batch
        parts = [
            Part(self._models[member], [entry.prepared for entry in same])
            for member, same in groupby(entries, key=lambda entry: entry.model)
        ]
        return await self._executor.execute_group(profile, parts)

    def _abandon(self, entry: InFlight) -> None:
        """Nobody wants the rest of a dispatch."""
        if entry.begun:
            self._executor.abandon(self._models[entry.model], entry.prepared)

    def _count_batch(
        self, batch: events.Batch, entries: list[InFlight], started_us: int, *, whole: bool
    ) -> None:
        ended_us = self._clock.now_us()
        self._metrics.executed(batch.session, batch.items, ended_us - started_us)
        profile = self._models.profile(batch.model)
        if whole and profile is not None and batch.items <= profile.max_batch:
            profiled_us = profile.latency_us(batch.items)
            self._metrics.profile_error(batch.model, ended_us - started_us, profiled_us)
        for entry in entries:
            entry.ended_us = ended_us
            if entry.started_us == started_us:  # Else it came with an earlier chunk.
                self._metrics.waited(entry.dispatch.session, started_us - entry.arrived_us)

    async def _load(self, placement: Placement) -> None:
        try:
            await self._models.load(placement)
        except NexusError as error:
            logger.warning("load_failed", extra={"model": placement.model, "error": error.message})
            self.tell(events.LoadFailed(placement.session, error.message))
        else:
            chunk_us = self._models[placement.model].chunk_us
            self.tell(events.Loaded(placement.session, chunk_us))
        self.on_status()


def _guarded(work: Callable[[], T]) -> tuple[T | None, str]:
    """The result, or the error of a defect: in a pool nobody else would hear of it."""
    try:
        return work(), ""
    except Exception as error:
        logger.exception("handler_failed")
        return None, f"{type(error).__name__}: {error}"
