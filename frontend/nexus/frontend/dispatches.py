"""The dispatches under way: made, timed, accounted for and closed, each exactly once."""

import heapq
from collections.abc import Collection

from nexus.core.names import BackendName
from nexus.core.request import Dispatch, DropReason, Outcome
from nexus.frontend.admission import was_promised
from nexus.frontend.in_flight import SentDispatch
from nexus.frontend.query_run import Call
from nexus.frontend.session_dispatcher import DispatchLimits, SessionDispatcher

# The backend could not be in time although admission thought so.
_MISSED = (DropReason.DEADLINE, DropReason.LATE, DropReason.OVERLOADED, DropReason.QUEUE_FULL)


class OpenDispatches:
    """Every dispatch that waits for its reply, with the time at which it is given up."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[int, SentDispatch] = {}
        self._timeouts: list[tuple[int, int]] = []
        self._last_id = 0

    def place(
        self,
        call: Call,
        dispatcher: SessionDispatcher,
        *,
        request_id: int,
        deadline_us: int,
        now_us: int,
        reachable: Collection[BackendName],
        limits: DispatchLimits,
        tries: int = 0,
    ) -> tuple[list[SentDispatch], Outcome | None]:
        """Make the dispatches of one call; the outcome is why the rest of its items is refused.

        They count as load from now on: ``open`` or ``unplace`` each of them.
        """
        left_us = deadline_us - now_us
        shares, refusal = dispatcher.place(call.items, left_us, now_us, reachable, limits)
        placed = 0
        made = []
        for share in shares:
            self._last_id += 1
            dispatch = Dispatch(
                id=self._last_id,
                session=dispatcher.session,
                deadline_us=deadline_us,
                items=share.items,
                regions=call.regions[placed : placed + share.items],
            )
            sent = SentDispatch(
                dispatch=dispatch,
                request_id=request_id,
                stage=call.stage,
                first_item=call.first + placed,
                route=share.route,
                dispatcher=dispatcher,
                sent_us=now_us,
                promised=was_promised(share.route, left_us),
                tries=tries,
            )
            made.append(sent)
            placed += share.items
        return made, refusal

    @staticmethod
    def unplace(made: list[SentDispatch]) -> None:
        """Take back what ``place`` counted: these will not be sent."""
        for sent in made:
            sent.dispatcher.release(sent.route.backend, sent.dispatch.items)

    def open(self, sent: SentDispatch, timeout_us: int) -> None:
        """Wait for its reply until ``timeout_us``."""
        self._open[sent.dispatch.id] = sent
        heapq.heappush(self._timeouts, (timeout_us, sent.dispatch.id))

    def get(self, dispatch_id: int) -> SentDispatch | None:
        """The open dispatch of that id; None when it was closed before."""
        return self._open.get(dispatch_id)

    def on_backend(self, backend: BackendName) -> list[SentDispatch]:
        """What is open on one backend, in the order it was sent."""
        return [sent for sent in self._open.values() if sent.route.backend == backend]

    def close_replied(self, sent: SentDispatch, outcome: Outcome, now_us: int) -> None:
        """The backend replied: learn from it, and count the items back."""
        self._learn(sent, outcome, now_us)
        del self._open[sent.dispatch.id]
        if outcome.ok:
            sent.dispatcher.answered(sent.route, sent.dispatch.items, now_us)
        else:
            sent.dispatcher.release(sent.route.backend, sent.dispatch.items)

    def close(self, sent: SentDispatch) -> None:
        """Nobody waits for it any more."""
        del self._open[sent.dispatch.id]
        sent.dispatcher.release(sent.route.backend, sent.dispatch.items)

    def next_timeout_us(self) -> int | None:
        """When the next open dispatch is to be given up."""
        while self._timeouts and self._timeouts[0][1] not in self._open:
            heapq.heappop(self._timeouts)
        return self._timeouts[0][0] if self._timeouts else None

    def pop_overdue(self, now_us: int) -> tuple[SentDispatch, Outcome] | None:
        """The next dispatch to be given up at ``now_us``, and its outcome; it is still open."""
        timeout_us = self.next_timeout_us()
        if timeout_us is None or timeout_us > now_us:
            return None
        sent = self._open[heapq.heappop(self._timeouts)[1]]
        outcome = Outcome(
            reason=DropReason.DEADLINE,
            message=f"backend {sent.route.backend!r} did not answer in time",
        )
        self._learn(sent, outcome, now_us)
        return sent, outcome

    @staticmethod
    def _learn(sent: SentDispatch, outcome: Outcome, now_us: int) -> None:
        missed = outcome.reason in _MISSED or now_us > sent.dispatch.deadline_us
        if sent.promised and (outcome.ok or missed):
            load = sent.dispatcher.load(sent.route.backend)
            load.learn(in_time=not missed, sent_us=sent.sent_us, now_us=now_us)
