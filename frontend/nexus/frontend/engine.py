"""The frontend's engine: admit or refuse, route, run queries, and answer everything exactly once.

Sans-io (``nexus.core.engine``): the server and the simulator drive the same object. A request is
answered when its last part has ended, however that ends: by a reply, by a lost backend with no
time or try left, by a cancel, or by its timeout shortly after its deadline. What has no dispatch
and no ask open is answered at once, and every one of those has a timeout: nothing can be forgotten.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from nexus.core.answer import StageResult
from nexus.core.cluster import Catalogue, StageCount
from nexus.core.names import (
    BackendName,
    QueryName,
    SessionName,
    stage_session_name,
    variant_of,
)
from nexus.core.query import Stage
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.routing import RoutingTable
from nexus.frontend import events
from nexus.frontend.asks import OpenAsks
from nexus.frontend.cluster_view import ClusterView
from nexus.frontend.counters import ArrivalCounters
from nexus.frontend.dispatches import OpenDispatches
from nexus.frontend.in_flight import (
    EndedPart,
    Parcel,
    QueryRequest,
    Request,
    SentDispatch,
    SessionRequest,
)
from nexus.frontend.limits import (
    RETRIES_MAX,
    TRAVEL_US,
)
from nexus.frontend.outcomes import joined
from nexus.frontend.owned_pools import answer_to, take_started
from nexus.frontend.placer import Placer
from nexus.frontend.planned_query import PlannedQuery
from nexus.frontend.pools import Pools
from nexus.frontend.query_admission import expected_stages_us, query_refusal, query_request
from nexus.frontend.query_run import Call, StageStart
from nexus.frontend.timeouts import NEVER_US

# The backend (or a pool's owner) did not begin, and another may: repeating repeats no work.
_ELSEWHERE = (DropReason.NO_ROUTE, DropReason.DRAINING, DropReason.BACKEND_LOST)

_ONE_ITEM = Call("", 0, 1)


class FrontendEngine:
    """All decisions of one frontend."""

    def __init__(self, *, travel_us: int = TRAVEL_US) -> None:
        """Begin with no table: every request is refused NO_ROUTE until one is read.

        ``travel_us`` is kept free of a request's time for the way to a backend and back.
        """
        self.draining = False
        self._view = ClusterView(Pools(travel_us))
        self._counters = ArrivalCounters()
        self._requests: dict[int, Request] = {}
        self._frames_in_flight: dict[QueryName, int] = {}
        self._dispatches = OpenDispatches()
        self._asks = OpenAsks()
        self._effects: list[events.Effect] = []
        self._placer = Placer(self._dispatches, self._asks, self._effects)
        self._on: dict[type, Callable[[Any, int], None]] = {
            events.Submit: lambda e, now_us: self._submit(
                e.request_id, e.session, e.deadline_us, e.items, now_us
            ),
            events.Replied: lambda e, now_us: self._replied(e.dispatch_id, e.outcome, now_us),
            events.RepliedTogether: self._replied_together,
            events.SubmitQuery: self._submit_query,
            events.Asked: self._asked,
            events.AskAnswered: self._ask_answered,
            events.BatchStarted: self._batch_started,
            events.Cancelled: self._cancelled,
            events.Tick: self._give_up_overdue,
            events.BackendFound: self._backend_found,
            events.BackendLeaving: self._backend_leaving,
            events.BackendLost: self._backend_lost,
            events.TableChanged: self._table_changed,
            events.CatalogueChanged: self._catalogue_changed,
            events.PeersChanged: self._peers_changed,
            events.Drain: self._drain,
        }

    def handle(self, event: events.Event, now_us: int) -> tuple[events.Effect, ...]:
        """Take one event; the effects are in the order in which they must happen."""
        self._on[type(event)](event, now_us)
        return self._taken_effects()

    def submit(
        self, request_id: int, session: SessionName, deadline_us: int, items: int, now_us: int
    ) -> tuple[events.Effect, ...]:
        """As ``handle`` does with a Submit, for callers in a hurry."""
        self._submit(request_id, session, deadline_us, items, now_us)
        return self._taken_effects()

    def replied(self, dispatch_id: int, outcome: Outcome, now_us: int) -> tuple[events.Effect, ...]:
        """As ``handle`` does with a Replied, for callers in a hurry."""
        self._replied(dispatch_id, outcome, now_us)
        return self._taken_effects()

    def asked(self, event: events.Asked, now_us: int) -> events.AnswerAsk:
        """As ``handle`` does, for callers in a hurry: nothing else follows from an ask."""
        return answer_to(event, self._view, now_us)

    def _taken_effects(self) -> tuple[events.Effect, ...]:
        effects = tuple(self._effects)
        self._effects.clear()
        return effects

    def next_wakeup_us(self) -> int | None:
        """When to look for dispatches and asks to be given up.

        Most are closed long before their time. They are not looked for at every event, so this may
        be the time of one that is closed by now; it is never later than the next.
        """
        look_us = min(self._dispatches.timeouts.look_us, self._asks.timeouts.look_us)
        return None if look_us == NEVER_US else look_us

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        return len(self._requests)

    @property
    def table(self) -> RoutingTable:
        """The routing table in use; its version is the older one while some session is on it."""
        return self._view.table

    @property
    def newest_table(self) -> RoutingTable:
        """The newest routing table read: connect to its backends too."""
        return self._view.newest

    @property
    def catalogue(self) -> Catalogue:
        """What is declared, as last read."""
        return self._view.catalogue

    @property
    def arrivals(self) -> dict[str, int]:
        """Items offered by session, and frames by query, since the start."""
        return self._counters.arrivals

    @property
    def lost(self) -> tuple[BackendName, ...]:
        """Backends of the table whose connection broke and has not come back."""
        return tuple(sorted(self._view.lost))

    @property
    def stages(self) -> dict[SessionName, StageCount]:
        """Measured fan-out by stage session, since the start."""
        return self._counters.stages

    def why_not(self, session: SessionName) -> str:
        """Why a session is not served now, in words; empty when a backend serves it."""
        dispatcher = self._view.dispatcher(session)
        if dispatcher is None:
            return self._view.not_planned(f"session {session!r}").message
        refusal = dispatcher.unroutable()
        return refusal.message if refusal else ""

    def expected_wait_us(self, now_us: int) -> dict[SessionName, int]:
        """How long one item of each served session would take, if it arrived now."""
        return self._view.expected_wait_us(now_us)

    # The cluster.

    def _table_changed(self, event: events.TableChanged, _now_us: int) -> None:
        self._view.take_table(event.table)
        self._watch()

    def _catalogue_changed(self, event: events.CatalogueChanged, _now_us: int) -> None:
        self._view.take_catalogue(event.catalogue)

    def _drain(self, _event: events.Drain, _now_us: int) -> None:
        self.draining = True

    def _backend_found(self, event: events.BackendFound, _now_us: int) -> None:
        self._view.reach(event.backend)
        self._watch()

    def _backend_leaving(self, event: events.BackendLeaving, _now_us: int) -> None:
        self._view.leave(event.backend)

    def _backend_lost(self, event: events.BackendLost, now_us: int) -> None:
        self._view.lose(event.backend)
        outcome = dropped(DropReason.BACKEND_LOST, f"backend {event.backend!r} was lost")
        for sent in self._dispatches.on_backend(event.backend):
            # The end of an earlier one may have closed this one with its whole request.
            if self._dispatches.get(sent.dispatch.id) is not None:
                self._dispatches.close(sent)
                self._repeat_elsewhere(sent, outcome, now_us)

    def _peers_changed(self, event: events.PeersChanged, now_us: int) -> None:
        self._view.pools.take_peers(event.own, event.peers)
        self._watch()
        for ask_id in self._asks.of_peers_but(event.peers):
            parcel = self._asks.close(ask_id)
            # The end of an earlier one may have closed this one with its whole request.
            if parcel is not None:
                self._end_unplaced(parcel, self._placer.place(parcel, now_us), now_us)

    def _watch(self) -> None:
        self._effects += self._view.pools.watches(self._view.reachable)

    # Pools.

    def _asked(self, event: events.Asked, now_us: int) -> None:
        self._effects.append(answer_to(event, self._view, now_us))

    def _batch_started(self, event: events.BatchStarted, now_us: int) -> None:
        take_started(event, self._view, now_us)

    def _ask_answered(self, event: events.AskAnswered, now_us: int) -> None:
        parcel = self._asks.close(event.ask_id)
        if parcel is None:
            return  # It was given up, or its request was.
        pool, refusal = parcel.dispatcher.pool, event.refusal
        if refusal is not None and refusal.reason not in _ELSEWHERE:
            self._refused_by_owner(parcel, refusal, now_us)
        elif (
            refusal is None
            and pool is not None
            and event.backend in pool.members
            and event.backend in self._view.reachable
        ):
            self._placer.send_to_member(parcel, event.backend, now_us)
        else:
            # He knows another table or other backends than we do.
            self._decide(parcel, now_us)

    def _refused_by_owner(self, parcel: Parcel, refusal: Outcome, now_us: int) -> None:
        call = parcel.call
        unplaced: EndedPart | None = EndedPart(call.stage, call.first, call.items, refusal)
        if parcel.dispatcher.has_local_routes:
            unplaced = self._placer.place_locally(parcel, now_us)
        self._end_unplaced(parcel, unplaced, now_us)

    def _decide(self, parcel: Parcel, now_us: int) -> None:
        """The owner is of no help: decide here."""
        if parcel.dispatcher.pool is None:
            unplaced = self._placer.place(parcel, now_us)
        else:
            unplaced = self._placer.decide(parcel, now_us)
        self._end_unplaced(parcel, unplaced, now_us)

    def _end_unplaced(self, parcel: Parcel, unplaced: EndedPart | None, now_us: int) -> None:
        if unplaced is not None:
            self._part_ended(parcel.request, unplaced, now_us)

    # Requests of one session.

    def _submit(
        self, request_id: int, session: SessionName, deadline_us: int, items: int, now_us: int
    ) -> None:
        assert request_id not in self._requests, request_id
        self._counters.request(session, items)
        dispatcher = self._view.dispatcher(session)
        if self.draining:
            self._refuse(request_id, _draining())
        elif dispatcher is None:
            self._refuse(request_id, self._view.not_planned(f"session {session!r}"))
        else:
            request = SessionRequest(request_id, deadline_us, items)
            self._requests[request_id] = request
            call = _ONE_ITEM if items == 1 else Call("", 0, items)
            parcel = Parcel(request, dispatcher, call, deadline_us)
            unplaced = self._placer.place(parcel, now_us)
            if unplaced is not None:
                self._answer(request, unplaced.outcome)

    def _refuse(self, request_id: int, outcome: Outcome) -> None:
        self._effects.append(events.Answer(request_id, outcome))

    # Queries.

    def _submit_query(self, event: events.SubmitQuery, now_us: int) -> None:
        assert event.request_id not in self._requests, event
        planned = self._view.planned_query(event.query)
        if planned is None:
            message = f"query {event.query!r} is not declared"
            self._refuse(event.request_id, dropped(DropReason.INVALID, message))
            return
        self._counters.frame(event.query)
        for root in planned.roots:
            self._counters.stage(root.session, 1, 1)
        refusal = self._query_refusal(planned, event.deadline_us, now_us)
        if refusal is not None:
            self._refuse(event.request_id, refusal)
            return
        request = query_request(planned, event, now_us)
        self._requests[request.id] = request
        self._frames_in_flight[event.query] = self._frames_in_flight.get(event.query, 0) + 1
        self._start_stages(request, request.run.begin(now_us), now_us)
        self._answer_when_finished(request, now_us)

    def _query_refusal(
        self, planned: PlannedQuery, deadline_us: int, now_us: int
    ) -> Outcome | None:
        if self.draining:
            return _draining()
        frames = self._frames_in_flight.get(planned.query.name, 0)
        expected_us = expected_stages_us(planned, self._counters, now_us)
        return query_refusal(planned.query, frames, expected_us, deadline_us, now_us)

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
        dispatcher = self._view.dispatcher(session)
        if dispatcher is None:
            refusal = self._view.not_planned(f"session {session!r}")
            return request.run.answered(stage.name, call.first, call.items, refusal, now_us)
        parcel = Parcel(request, dispatcher, call, request.deadlines_us[stage.name])
        unplaced = self._placer.place(parcel, now_us)
        if unplaced is None:
            return ()
        return request.run.answered(*unplaced, now_us)

    # Dispatches.

    def _replied(self, dispatch_id: int, outcome: Outcome, now_us: int) -> None:
        sent = self._dispatches.close_replied(dispatch_id, outcome, now_us)
        if sent is None:
            return  # It was cancelled, given up or repeated elsewhere meanwhile.
        if outcome.reason is not None and outcome.reason in _ELSEWHERE:
            self._repeat_elsewhere(sent, outcome, now_us)
        else:
            self._ended(sent, outcome, now_us)

    def _replied_together(self, event: events.RepliedTogether, now_us: int) -> None:
        for dispatch_id, outcome in zip(event.dispatch_ids, event.outcomes, strict=True):
            self._replied(dispatch_id, outcome, now_us)

    def _give_up_overdue(self, _event: events.Tick, now_us: int) -> None:
        while (parcel := self._asks.pop_overdue(now_us)) is not None:
            self._decide(parcel, now_us)
        while (overdue := self._dispatches.pop_overdue(now_us)) is not None:
            sent, outcome = overdue
            self._cancel(sent)
            self._ended(sent, outcome, now_us)

    def _repeat_elsewhere(self, sent: SentDispatch, outcome: Outcome, now_us: int) -> None:
        """Dispatch again to another backend (inference is idempotent), or end with ``outcome``."""
        tries = sent.parcel.tries + 1
        if tries > RETRIES_MAX or sent.parcel.deadline_us <= now_us:
            self._ended(sent, outcome, now_us)
            return
        parcel = replace(sent.parcel, tries=tries)
        # The backend just tried would say the same again; one that was lost is known to be.
        avoid = sent.backend if sent.backend in self._view.reachable else ""
        unplaced = self._placer.place(parcel, now_us, avoid)
        if unplaced is not None:
            self._end_unplaced(parcel, unplaced._replace(outcome=outcome), now_us)

    def _cancel(self, sent: SentDispatch) -> None:
        self._dispatches.close(sent)
        for position, effect in enumerate(self._effects):
            if isinstance(effect, events.Send) and effect.dispatch is sent.dispatch:
                del self._effects[position]  # Not even sent yet: a sibling failed at once.
                return
        self._effects.append(events.CancelSent(sent.backend, sent.dispatch.id))

    # Ends.

    def _ended(self, sent: SentDispatch, outcome: Outcome, now_us: int) -> None:
        """A dispatch is over: go on with its request, or answer it."""
        request, call = sent.parcel.request, sent.parcel.call
        served_as = sent.dispatch.session
        if served_as != sent.parcel.dispatcher.session and outcome.ok:
            outcome = replace(outcome, served_by=variant_of(served_as))
        if (
            isinstance(request, SessionRequest)
            and call.items == request.unanswered
            and request.outcomes is None
        ):
            # Nearly always: it was the only part, and nothing else is under way.
            if now_us > request.deadline_us:
                outcome = _unless_late(outcome, request, now_us)
            self._end(request, outcome)
            return
        self._part_ended(request, EndedPart(call.stage, call.first, call.items, outcome), now_us)

    def _part_ended(self, request: Request, part: EndedPart, now_us: int) -> None:
        stage, first, items, outcome = part
        if isinstance(request, QueryRequest):
            starts = request.run.answered(stage, first, items, outcome, now_us)
            self._start_stages(request, starts, now_us)
            self._answer_when_finished(request, now_us)
        elif outcome.reason is not None:
            self._answer(request, outcome)
        else:
            outcomes = request.outcomes = request.outcomes or {}
            outcomes[first] = outcome
            request.unanswered -= items
            if request.unanswered == 0:
                whole = joined([outcomes[first] for first in sorted(outcomes)])
                self._answer(request, _unless_late(whole, request, now_us))

    def _answer_when_finished(self, request: QueryRequest, now_us: int) -> None:
        failure = request.run.failure
        if failure is not None:
            self._answer(request, failure)
        elif request.run.finished:
            self._answer(request, _unless_late(request.run.outcome, request, now_us))

    def _answer(self, request: Request, outcome: Outcome) -> None:
        """End a request, whatever is still under way for it."""
        self._abandon(request)
        stages: tuple[StageResult, ...] = ()
        if isinstance(request, QueryRequest):
            self._frames_in_flight[request.run.query.name] -= 1
            stages = request.run.results(request.budgets_us)
        self._end(request, outcome, stages)

    def _end(
        self, request: Request, outcome: Outcome, stages: tuple[StageResult, ...] = ()
    ) -> None:
        """The one place where an accepted request ends."""
        del self._requests[request.id]
        self._effects.append(events.Answer(request.id, outcome, stages))

    def _abandon(self, request: Request) -> None:
        """Let go of what is still under way for it."""
        for dispatch_id in request.dispatches:
            sent = self._dispatches.get(dispatch_id)
            if sent is not None:
                self._cancel(sent)
        for ask_id in request.asks:
            self._asks.close(ask_id)

    def _cancelled(self, event: events.Cancelled, _now_us: int) -> None:
        request = self._requests.get(event.request_id)
        if request is not None:
            self._answer(request, dropped(DropReason.CANCELLED, "the caller went away"))


def _draining() -> Outcome:
    return dropped(DropReason.DRAINING, "this frontend is shutting down; use another")


def _unless_late(outcome: Outcome, request: Request, now_us: int) -> Outcome:
    if now_us > request.deadline_us and outcome.ok:
        late_us = now_us - request.deadline_us
        return dropped(DropReason.LATE, f"answered {late_us / 1000:.1f} ms after its deadline")
    return outcome
