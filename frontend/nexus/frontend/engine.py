"""The frontend's engine: admit or refuse, route, run queries, and answer everything exactly once.

Sans-io (``nexus.core.engine``): the server and the simulator drive the same object. A request is
answered when its last dispatch has ended, however that ends: by a reply, by a lost backend with no
time or try left, by a cancel, or by its timeout shortly after its deadline. What has no dispatch
open is answered at once, and every open dispatch has a timeout: nothing can be forgotten.
"""

from collections.abc import Iterable
from typing import assert_never

from nexus.core.answer import StageResult
from nexus.core.cluster import Catalogue, StageCount
from nexus.core.names import BackendName, QueryName, SessionName, stage_session_name
from nexus.core.query import Query, Stage
from nexus.core.request import Dispatch, DropReason, Outcome, dropped
from nexus.core.routing import RoutingTable
from nexus.frontend import events
from nexus.frontend.cluster_view import ClusterView
from nexus.frontend.counters import ArrivalCounters
from nexus.frontend.dispatches import OpenDispatches
from nexus.frontend.in_flight import QueryRequest, Request, SentDispatch, SessionRequest
from nexus.frontend.limits import (
    ANSWER_RESERVE_US,
    GRACE_US,
    QUERIES_IN_FLIGHT_MAX,
    RETRIES_MAX,
)
from nexus.frontend.outcomes import joined, overloaded
from nexus.frontend.query_deadlines import expected_finish_us, stage_deadlines_us
from nexus.frontend.query_run import Call, QueryRun, StageStart

# The backend did not begin, and another may: repeating these repeats no work.
_ELSEWHERE = (DropReason.NO_ROUTE, DropReason.DRAINING, DropReason.BACKEND_LOST)


class FrontendEngine:
    """All decisions of one frontend."""

    def __init__(self) -> None:
        """Begin with no table: every request is refused NO_ROUTE until one is read."""
        self.draining = False
        self._view = ClusterView()
        self._counters = ArrivalCounters()
        self._requests: dict[int, Request] = {}
        self._frames_in_flight: dict[QueryName, int] = {}
        self._dispatches = OpenDispatches()
        self._effects: list[events.Effect] = []

    def handle(self, event: events.Event, now_us: int) -> tuple[events.Effect, ...]:
        """Take one event; the effects are in the order in which they must happen."""
        self._effects = []
        match event:
            case events.Replied():
                self._replied(event, now_us)
            case events.RepliedTogether():
                for dispatch_id, outcome in zip(event.dispatch_ids, event.outcomes, strict=True):
                    self._replied(events.Replied(dispatch_id, outcome), now_us)
            case events.Submit():
                self._submit(event, now_us)
            case events.SubmitQuery():
                self._submit_query(event, now_us)
            case events.Tick():
                self._give_up_overdue(now_us)
            case events.Cancelled():
                self._cancelled(event.request_id)
            case events.Asked() | events.AskAnswered() | events.BatchStarted():
                pass
            case _:
                self._cluster_changed(event, now_us)
        return tuple(self._effects)

    def next_wakeup_us(self) -> int | None:
        """When the next dispatch would be given up."""
        return self._dispatches.next_timeout_us()

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        return len(self._requests)

    @property
    def table(self) -> RoutingTable:
        """The routing table in use."""
        return self._view.table

    @property
    def catalogue(self) -> Catalogue:
        """What is declared, as last read."""
        return self._view.catalogue

    @property
    def arrivals(self) -> dict[str, int]:
        """Items offered by session, and frames by query, since the start."""
        return self._counters.arrivals

    @property
    def stages(self) -> dict[SessionName, StageCount]:
        """Measured fan-out by stage session, since the start."""
        return self._counters.stages

    def why_not(self, session: SessionName) -> str:
        """Why a session is not served now, in words; empty when a backend serves it."""
        dispatcher = self._view.dispatcher(session)
        if dispatcher is None:
            return self._view.not_planned(f"session {session!r}").message
        refusal = dispatcher.unroutable(self._view.reachable)
        return refusal.message if refusal else ""

    def expected_wait_us(self, now_us: int) -> dict[SessionName, int]:
        """How long one item of each served session would take, if it arrived now."""
        return self._view.expected_wait_us(now_us)

    # The cluster.

    def _cluster_changed(self, event: events.ClusterEvent, now_us: int) -> None:
        match event:
            case events.BackendFound():
                self._view.reachable.add(event.backend)
            case events.BackendLeaving():
                self._view.reachable.discard(event.backend)
            case events.BackendLost():
                self._backend_lost(event.backend, now_us)
            case events.TableChanged():
                self._view.take_table(event.table)
            case events.CatalogueChanged():
                self._view.take_catalogue(event.catalogue)
            case events.PeersChanged():
                pass
            case events.Drain():
                self.draining = True
            case _:
                assert_never(event)

    def _backend_lost(self, backend: BackendName, now_us: int) -> None:
        self._view.lose(backend)
        outcome = dropped(DropReason.BACKEND_LOST, f"backend {backend!r} was lost")
        for sent in self._dispatches.on_backend(backend):
            # The end of an earlier one may have closed this one with its whole request.
            if self._dispatches.get(sent.dispatch.id) is not None:
                self._close(sent)
                self._repeat_elsewhere(sent, outcome, now_us)

    # Requests of one session.

    def _submit(self, event: events.Submit, now_us: int) -> None:
        assert event.request_id not in self._requests, event
        self._counters.request(event.session, event.items)
        request = SessionRequest(
            id=event.request_id,
            deadline_us=event.deadline_us,
            unanswered=event.items,
        )
        call = Call("", 0, event.items)
        made, refusal = self._place(request, event.session, call, event.deadline_us, now_us)
        if refusal is not None:
            self._dispatches.unplace(made)
            self._refuse(event.request_id, refusal)
            return
        self._requests[request.id] = request
        self._send(request, made)

    def _refuse(self, request_id: int, outcome: Outcome) -> None:
        self._effects.append(events.Answer(request_id, outcome))

    # Queries.

    def _submit_query(self, event: events.SubmitQuery, now_us: int) -> None:
        assert event.request_id not in self._requests, event
        query = self._view.query(event.query)
        if query is None:
            message = f"query {event.query!r} is not declared"
            self._refuse(event.request_id, dropped(DropReason.INVALID, message))
            return
        self._counters.frame(query.name)
        for root in query.roots:
            self._counters.stage(stage_session_name(query.name, root.name), 1, 1)
        refusal = self._query_refusal(query, event.deadline_us, now_us)
        if refusal is not None:
            self._refuse(event.request_id, refusal)
            return
        request = self._query_request(query, event, now_us)
        self._requests[request.id] = request
        self._frames_in_flight[query.name] = self._frames_in_flight.get(query.name, 0) + 1
        self._start_stages(request, request.run.begin(now_us), now_us)
        self._answer_when_finished(request, now_us)

    def _query_request(self, query: Query, event: events.SubmitQuery, now_us: int) -> QueryRequest:
        budgets_us = {}
        for stage in query.stages:
            dispatcher = self._view.stage_dispatcher(query, stage)
            budgets_us[stage.name] = dispatcher.slo_us if dispatcher else 0
        last_us = event.deadline_us - ANSWER_RESERVE_US
        return QueryRequest(
            id=event.request_id,
            deadline_us=event.deadline_us,
            run=QueryRun(query),
            budgets_us=budgets_us,
            deadlines_us=stage_deadlines_us(query, budgets_us, now_us, last_us),
        )

    def _query_refusal(self, query: Query, deadline_us: int, now_us: int) -> Outcome | None:
        """Refuse a frame at the door when the query as a whole would not be done in time.

        Work done upstream would be wasted, were it refused at a later stage.
        """
        if self.draining:
            return _draining()
        if self._frames_in_flight.get(query.name, 0) >= QUERIES_IN_FLIGHT_MAX:
            message = f"query {query.name!r} has {QUERIES_IN_FLIGHT_MAX} frames under way"
            return dropped(DropReason.QUEUE_FULL, message, retry_after_us=query.slo_us)
        finish_us = expected_finish_us(query, self._expected_us(query, now_us), now_us)
        if finish_us > deadline_us:
            owner = f"query {query.name!r}"
            return overloaded(owner, finish_us - now_us, deadline_us - now_us)
        return None

    def _expected_us(self, query: Query, now_us: int) -> dict[str, int]:
        """How long each stage would take now; 0 where it has no backend (it will say so itself)."""
        calls = self._counters.expected_calls(query)
        expected_us = {}
        for stage in query.stages:
            dispatcher = self._view.stage_dispatcher(query, stage)
            items = max(1, round(calls[stage.name]))
            reachable = self._view.reachable
            least_us = dispatcher and dispatcher.expected_us(items, now_us, reachable)
            expected_us[stage.name] = least_us or 0
        return expected_us

    def _start_stages(
        self, request: QueryRequest, starts: Iterable[StageStart], now_us: int
    ) -> None:
        """Dispatch the calls of stages; one refused at once may let further stages start."""
        query = request.run.query
        waiting = list(starts)
        while waiting:
            start = waiting.pop(0)
            if start.stage.after:
                session = stage_session_name(query.name, start.stage.name)
                self._counters.stage(session, start.items, start.parent_calls)
            for call in start.calls:
                waiting += self._start_call(request, start.stage, call, now_us)

    def _start_call(
        self, request: QueryRequest, stage: Stage, call: Call, now_us: int
    ) -> tuple[StageStart, ...]:
        session = stage_session_name(request.run.query.name, stage.name)
        deadline_us = request.deadlines_us[stage.name]
        made, refusal = self._place(request, session, call, deadline_us, now_us)
        self._send(request, made)
        if refusal is None:
            return ()
        placed = sum(sent.dispatch.items for sent in made)
        first, items = call.first + placed, call.items - placed
        return request.run.answered(stage.name, first, items, refusal, now_us)

    # Dispatches.

    def _place(
        self, request: Request, session: SessionName, call: Call, deadline_us: int, now_us: int
    ) -> tuple[list[SentDispatch], Outcome | None]:
        if self.draining and request.id not in self._requests:
            return [], _draining()
        dispatcher = self._view.dispatcher(session)
        if dispatcher is None:
            return [], self._view.not_planned(f"session {session!r}")
        return self._dispatches.place(
            call,
            dispatcher,
            request_id=request.id,
            deadline_us=deadline_us,
            now_us=now_us,
            reachable=self._view.reachable,
            limits=self._view.limits(session),
        )

    def _send(self, request: Request, made: Iterable[SentDispatch]) -> None:
        for sent in made:
            request.open.add(sent.dispatch.id)
            self._dispatches.open(sent, _timeout_us(request, sent.dispatch))
            self._effects.append(
                events.Send(
                    backend=sent.route.backend,
                    address=sent.route.address,
                    request_id=sent.request_id,
                    dispatch=sent.dispatch,
                    first_item=sent.first_item,
                    whole_payload=isinstance(request, QueryRequest),
                )
            )

    def _replied(self, event: events.Replied, now_us: int) -> None:
        sent = self._dispatches.get(event.dispatch_id)
        if sent is None:
            return  # It was cancelled, given up or repeated elsewhere meanwhile.
        self._dispatches.close_replied(sent, event.outcome, now_us)
        self._requests[sent.request_id].open.discard(sent.dispatch.id)
        if event.outcome.reason in _ELSEWHERE:
            self._repeat_elsewhere(sent, event.outcome, now_us)
        else:
            self._ended(sent, event.outcome, now_us)

    def _give_up_overdue(self, now_us: int) -> None:
        while (overdue := self._dispatches.pop_overdue(now_us)) is not None:
            sent, outcome = overdue
            self._cancel(sent)
            self._ended(sent, outcome, now_us)

    def _repeat_elsewhere(self, sent: SentDispatch, outcome: Outcome, now_us: int) -> None:
        """Dispatch again to another backend (inference is idempotent), or end with ``outcome``."""
        dispatch = sent.dispatch
        if sent.tries >= RETRIES_MAX or dispatch.deadline_us <= now_us:
            self._ended(sent, outcome, now_us)
            return
        made, refusal = self._dispatches.place(
            Call(sent.stage, sent.first_item, dispatch.items, dispatch.regions),
            sent.dispatcher,
            request_id=sent.request_id,
            deadline_us=dispatch.deadline_us,
            now_us=now_us,
            # The backend just tried would say the same again.
            reachable=self._view.reachable - {sent.route.backend},
            limits=self._view.limits(dispatch.session),
            tries=sent.tries + 1,
        )
        if refusal is None:
            self._send(self._requests[sent.request_id], made)
            return
        self._dispatches.unplace(made)
        self._ended(sent, outcome, now_us)

    def _close(self, sent: SentDispatch) -> None:
        self._dispatches.close(sent)
        self._requests[sent.request_id].open.discard(sent.dispatch.id)

    def _cancel(self, sent: SentDispatch) -> None:
        self._close(sent)
        for position, effect in enumerate(self._effects):
            if isinstance(effect, events.Send) and effect.dispatch is sent.dispatch:
                del self._effects[position]  # Not even sent yet: a sibling failed at once.
                return
        self._effects.append(events.CancelSent(sent.route.backend, sent.dispatch.id))

    # Ends.

    def _ended(self, sent: SentDispatch, outcome: Outcome, now_us: int) -> None:
        """A dispatch is over: go on with its request, or answer it."""
        request = self._requests[sent.request_id]
        items = sent.dispatch.items
        if isinstance(request, QueryRequest):
            starts = request.run.answered(sent.stage, sent.first_item, items, outcome, now_us)
            self._start_stages(request, starts, now_us)
            self._answer_when_finished(request, now_us)
            return
        request.outcomes[sent.first_item] = outcome
        request.unanswered -= items
        if not outcome.ok:
            self._answer(request, outcome)
        elif request.unanswered == 0:
            whole = joined([request.outcomes[first] for first in sorted(request.outcomes)])
            self._answer(request, _unless_late(whole, request, now_us))

    def _answer_when_finished(self, request: QueryRequest, now_us: int) -> None:
        failure = request.run.failure
        if failure is not None:
            self._answer(request, failure)
        elif request.run.finished:
            self._answer(request, _unless_late(request.run.outcome, request, now_us))

    def _answer(self, request: Request, outcome: Outcome) -> None:
        """The one place where an accepted request ends."""
        for dispatch_id in sorted(request.open):
            sent = self._dispatches.get(dispatch_id)
            assert sent is not None, dispatch_id
            self._cancel(sent)
        del self._requests[request.id]
        stages: tuple[StageResult, ...] = ()
        if isinstance(request, QueryRequest):
            self._frames_in_flight[request.run.query.name] -= 1
            stages = request.run.results(request.budgets_us)
        self._effects.append(events.Answer(request.id, outcome, stages))

    def _cancelled(self, request_id: int) -> None:
        request = self._requests.get(request_id)
        if request is not None:
            self._answer(request, dropped(DropReason.CANCELLED, "the caller went away"))


def _draining() -> Outcome:
    return dropped(DropReason.DRAINING, "this frontend is shutting down; use another")


def _timeout_us(request: Request, dispatch: Dispatch) -> int:
    """When to stop waiting. A query must still answer in time with what it has."""
    if isinstance(request, QueryRequest):
        last_us = request.deadline_us - ANSWER_RESERVE_US // 2
        return min(dispatch.deadline_us + GRACE_US, last_us)
    return dispatch.deadline_us + GRACE_US


def _unless_late(outcome: Outcome, request: Request, now_us: int) -> Outcome:
    if outcome.ok and now_us > request.deadline_us:
        late_us = now_us - request.deadline_us
        return dropped(DropReason.LATE, f"answered {late_us / 1000:.1f} ms after its deadline")
    return outcome
