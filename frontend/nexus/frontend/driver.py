"""Drives the engine in real time: the clock, the timer, the payloads and the callers' futures.

It holds no decisions. A payload is kept from arrival to answer, because a dispatch may have to be
sent again to another backend.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nexus.core.answer import StageResult
from nexus.core.clock import Clock
from nexus.core.errors import MessageTooLargeError, NexusError, RefusedError, UnavailableError
from nexus.core.names import BackendName, FrontendName, QueryName, SessionName
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.tensor import Tensor
from nexus.core.units import s_from_us
from nexus.frontend import events
from nexus.frontend.engine import FrontendEngine
from nexus.frontend.payload import rows_of
from nexus.rpc.frames import Ask, Cancel, Granted, Infer, Watch, infer_at

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """What the driver needs of the links to backends."""

    def send(self, backend: BackendName, message: Infer | Cancel | Watch) -> None:
        """Queue a message, or raise a NexusError at once."""
        ...


class PeerSender(Protocol):
    """What the driver needs of the links to other frontends."""

    def ask(self, peer: FrontendName, message: Ask) -> None:
        """Queue an ask, or raise a NexusError at once."""
        ...

    def answer(self, peer: FrontendName, message: Granted) -> None:
        """Queue the answer to an ask, or drop it: who asked does not wait for ever."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended. ``latency_us`` is from arrival to answer."""

    outcome: Outcome
    stages: tuple[StageResult, ...]
    latency_us: int
    slack_us: int


@dataclass(slots=True)
class _Pending:
    tensors: tuple[Tensor, ...]
    future: asyncio.Future[Ended]
    arrived_us: int
    deadline_us: int


class EngineDriver:
    """The engine, running. All methods must be called on the event loop."""

    def __init__(
        self,
        engine: FrontendEngine,
        clock: Clock,
        on_dispatched: Callable[[SessionName, BackendName, Outcome], None],
    ) -> None:
        """``on_dispatched`` is told how each dispatch ended at its backend.

        Set ``sender`` next, and ``peers`` if there are any.
        """
        self.engine = engine
        self.sender: Sender | None = None
        self.peers: PeerSender | None = None
        self._clock = clock
        self._on_dispatched = on_dispatched
        self._pending: dict[int, _Pending] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._sent: dict[int, tuple[SessionName, BackendName]] = {}
        self._last_request_id = 0
        self._events: deque[events.Event] = deque()
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0

    def now_us(self) -> int:
        """The present, on the clock of all deadlines here."""
        return self._clock.now_us()

    async def infer(
        self, session: SessionName, tensors: tuple[Tensor, ...], items: int, deadline_us: int
    ) -> Ended:
        """Run one request of a session; cancelling the caller cancels what is queued."""
        request_id = self._next_request_id()
        event = events.Submit(request_id, session, deadline_us, items)
        return await self._ended(request_id, event, tensors, deadline_us)

    async def query(self, query: QueryName, frame: Tensor, deadline_us: int) -> Ended:
        """Run one frame through a query; cancelling the caller cancels what is queued."""
        request_id = self._next_request_id()
        event = events.SubmitQuery(request_id, query, deadline_us)
        return await self._ended(request_id, event, (frame,), deadline_us)

    def tell(self, event: events.Event) -> None:
        """Take an event now; one that an effect causes comes after the effects before it."""
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._handling = False
        self._set_timer()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    async def _ended(
        self, request_id: int, event: events.Event, tensors: tuple[Tensor, ...], deadline_us: int
    ) -> Ended:
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = _Pending(tensors, future, self.now_us(), deadline_us)
        self._idle.clear()
        self.tell(event)
        try:
            return await future
        except asyncio.CancelledError:
            self.tell(events.Cancelled(request_id))
            raise

    def _next_request_id(self) -> int:
        self._last_request_id += 1
        return self._last_request_id

    def _handle(self, event: events.Event) -> None:
        self._account(event)
        now_us = self.now_us()
        for effect in self.engine.handle(event, now_us):
            match effect:
                case events.Send():
                    self._send(effect, now_us)
                case events.Answer():
                    self._answer(effect, now_us)
                case events.CancelSent():
                    self._sent.pop(effect.dispatch_id, None)
                    self._say(effect.backend, Cancel(effect.dispatch_id))
                case events.Watch():
                    self._say(effect.backend, Watch(effect.on))
                case events.Ask():
                    self._ask(effect, now_us)
                case events.AnswerAsk():
                    self._grant(effect)

    def _account(self, event: events.Event) -> None:
        """Count how dispatches ended at their backends."""
        if isinstance(event, events.Replied):
            self._ended_at_backend(event.dispatch_id, event.outcome)
        elif isinstance(event, events.RepliedTogether):
            for dispatch_id, outcome in zip(event.dispatch_ids, event.outcomes, strict=True):
                self._ended_at_backend(dispatch_id, outcome)
        elif isinstance(event, events.BackendLost):
            self._lose(event.backend)

    def _ended_at_backend(self, dispatch_id: int, outcome: Outcome) -> None:
        session_backend = self._sent.pop(dispatch_id, None)
        if session_backend is not None:
            self._on_dispatched(*session_backend, outcome)

    def _lose(self, backend: BackendName) -> None:
        outcome = dropped(DropReason.BACKEND_LOST)
        lost = [(id_, sent) for id_, sent in self._sent.items() if sent[1] == backend]
        for dispatch_id, (session, _) in lost:
            del self._sent[dispatch_id]
            self._on_dispatched(session, backend, outcome)

    def _send(self, effect: events.Send, now_us: int) -> None:
        assert self.sender is not None
        dispatch = effect.dispatch
        tensors = self._pending[effect.request_id].tensors
        if not effect.whole_payload:
            tensors = rows_of(tensors, effect.first_item, dispatch.items)
        self._sent[dispatch.id] = (dispatch.session, effect.backend)
        try:
            self.sender.send(effect.backend, infer_at(dispatch, tensors, now_us))
        except NexusError as error:
            outcome = dropped(_unsent_reason(error), error.message)
            self._events.append(events.Replied(dispatch.id, outcome))

    def _say(self, backend: BackendName, message: Cancel | Watch) -> None:
        assert self.sender is not None
        try:
            self.sender.send(backend, message)
        except NexusError as error:
            # Nothing is owed to a backend that is away: it knows nothing when it comes back.
            _log.debug("not said", extra={"backend": backend, "error": error.message})

    def _ask(self, effect: events.Ask, now_us: int) -> None:
        budget_us = effect.deadline_us - now_us
        message = Ask(effect.ask_id, effect.session, effect.items, budget_us)
        try:
            if self.peers is None:
                raise UnavailableError("this frontend has no peers")
            self.peers.ask(effect.peer, message)
        except NexusError as error:
            refusal = dropped(DropReason.NO_ROUTE, error.message)
            self._events.append(events.AskAnswered(effect.ask_id, refusal=refusal))

    def _grant(self, effect: events.AnswerAsk) -> None:
        assert self.peers is not None, "only peers ask"
        self.peers.answer(effect.peer, Granted(effect.ask_id, effect.backend, effect.refusal))

    def _answer(self, effect: events.Answer, now_us: int) -> None:
        pending = self._pending.pop(effect.request_id)
        if not self._pending:
            self._idle.set()
        if not pending.future.done():
            latency_us = now_us - pending.arrived_us
            slack_us = pending.deadline_us - now_us
            pending.future.set_result(Ended(effect.outcome, effect.stages, latency_us, slack_us))

    def _set_timer(self) -> None:
        """Keep one timer, at or before the engine's next wakeup: most move later, few earlier."""
        wakeup_us = self.engine.next_wakeup_us()
        if wakeup_us is None or (self._timer is not None and self._timer_us <= wakeup_us):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = s_from_us(max(0, wakeup_us - self.now_us()))
        self._timer_us = wakeup_us
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.tell(events.Tick())


def _unsent_reason(error: NexusError) -> DropReason:
    if isinstance(error, MessageTooLargeError):
        return DropReason.INVALID
    return DropReason.QUEUE_FULL if isinstance(error, RefusedError) else DropReason.BACKEND_LOST
