"""Puts the items of requests on their way: to local routes, into a pool, or first to its owner.

The decisions are those of ``SessionDispatcher`` (local routes) and ``PoolOwner``; here they become
dispatches and asks, are counted as open, and the effects are written down.
"""

from collections.abc import Iterator
from dataclasses import replace

from nexus.core.names import BackendName
from nexus.core.request import Dispatch, DropReason, dropped
from nexus.core.routing import PoolMember, Route
from nexus.frontend import events
from nexus.frontend.admission import was_promised
from nexus.frontend.asks import OpenAsks
from nexus.frontend.dispatches import OpenDispatches
from nexus.frontend.in_flight import EndedPart, Parcel, QueryRequest, Request, SentDispatch
from nexus.frontend.limits import ANSWER_RESERVE_US, ASKS_OPEN_MAX, GRACE_US, IN_FLIGHT_MAX
from nexus.frontend.query_run import Call
from nexus.frontend.session_dispatcher import Share


class Placer:
    """Makes dispatches and asks; ``effects`` is the engine's list."""

    def __init__(
        self, dispatches: OpenDispatches, asks: OpenAsks, effects: list[events.Effect]
    ) -> None:
        """Begin with dispatch number 1."""
        self._dispatches = dispatches
        self._asks = asks
        self._effects = effects
        self._last_id = 0

    def place(self, parcel: Parcel, now_us: int, avoid: BackendName = "") -> EndedPart | None:
        """Send a call on its way, in the pool or locally, as the planned rates have it.

        What one side refuses the other may take. ``avoid`` is a backend that just refused.
        """
        dispatcher, call = parcel.dispatcher, parcel.call
        if dispatcher.in_flight + call.items > IN_FLIGHT_MAX:
            full = dispatcher.queue_full(now_us)
            return EndedPart(call.stage, call.first, call.items, full)
        if not dispatcher.goes_to_pool(call.items):
            refused = self.place_locally(parcel, now_us, avoid)
            if refused is None or dispatcher.pool is None:
                return refused
            return self._place_in_pool(_rest(parcel, refused), now_us, avoid)
        refused = self._place_in_pool(parcel, now_us, avoid)
        if refused is None or not dispatcher.has_local_routes:
            return refused
        return self.place_locally(_rest(parcel, refused), now_us, avoid)

    def place_locally(
        self, parcel: Parcel, now_us: int, avoid: BackendName = ""
    ) -> EndedPart | None:
        """Send a call to local routes."""
        call, left_us = parcel.call, parcel.deadline_us - now_us
        if not avoid:
            turn = parcel.dispatcher.take_turn(call.items, left_us, now_us)
            if turn is not None:
                self._send(parcel, turn.route, turn, now_us)
                return None
        shares, refusal = parcel.dispatcher.place(call.items, left_us, now_us, avoid)
        placed = 0
        for share in shares:
            part = _part(parcel, placed, share.items)
            self._send(part, share.route, share, now_us)
            placed += share.items
        if refusal is None:
            return None
        return EndedPart(call.stage, call.first + placed, call.items - placed, refusal)

    def decide(self, parcel: Parcel, now_us: int, avoid: BackendName = "") -> EndedPart | None:
        """Send a call into its session's pool without asking: it is our own, or help is far."""
        dispatcher, call = parcel.dispatcher, parcel.call
        assert dispatcher.pool is not None
        placed = dispatcher.pool.owner.place(
            dispatcher.served_as, call.items, parcel.deadline_us, now_us, avoid
        )
        if not isinstance(placed, str):
            return EndedPart(call.stage, call.first, call.items, placed)
        self.send_to_member(parcel, placed, now_us)
        return None

    def send_to_member(self, parcel: Parcel, backend: BackendName, now_us: int) -> None:
        """Send a call to a member of its pool."""
        pool = parcel.dispatcher.pool
        assert pool is not None
        parcel.dispatcher.in_flight += parcel.call.items
        self._send(parcel, pool.members[backend], None, now_us)

    def _place_in_pool(self, parcel: Parcel, now_us: int, avoid: BackendName) -> EndedPart | None:
        dispatcher, call = parcel.dispatcher, parcel.call
        pool = dispatcher.pool
        assert pool is not None
        # Only we know whom to avoid.
        peer = "" if avoid else pool.peer
        if call.items == 1:
            return self._ask(parcel, peer, now_us) if peer else self.decide(parcel, now_us, avoid)
        most = dispatcher.limits.items(pool.owner.target(dispatcher.served_as))
        for part in _parts(parcel, most):
            refused = self._ask(part, peer, now_us) if peer else self.decide(part, now_us, avoid)
            if refused is not None:
                left = call.first + call.items - refused.first
                return EndedPart(call.stage, refused.first, left, refused.outcome)
        return None

    def _ask(self, parcel: Parcel, peer: str, now_us: int) -> EndedPart | None:
        call = parcel.call
        if self._asks.full:
            message = f"{ASKS_OPEN_MAX} asks for a place wait for the owners of pools"
            return EndedPart(
                call.stage, call.first, call.items, dropped(DropReason.QUEUE_FULL, message)
            )
        ask_id = self._asks.open(peer, parcel, now_us)
        session, deadline_us = parcel.dispatcher.served_as, parcel.deadline_us
        self._effects.append(events.Ask(peer, ask_id, session, call.items, deadline_us))
        return None

    def _send(
        self, parcel: Parcel, target: Route | PoolMember, share: Share | None, now_us: int
    ) -> None:
        self._last_id += 1
        request, call, deadline_us = parcel.request, parcel.call, parcel.deadline_us
        backend, served_as = target.backend, parcel.dispatcher.served_as
        dispatch = Dispatch(self._last_id, served_as, deadline_us, call.items, call.regions)
        promised = share is not None and was_promised(share.route, deadline_us - now_us)
        sent = SentDispatch(dispatch, parcel, backend, share, now_us, promised)
        whole = isinstance(request, QueryRequest)
        timeout_us = _query_timeout_us(request, deadline_us) if whole else deadline_us + GRACE_US
        self._dispatches.open(sent, timeout_us)
        self._effects.append(
            events.Send(backend, target.address, request.id, dispatch, call.first, whole)
        )


def _query_timeout_us(request: Request, deadline_us: int) -> int:
    """When to stop waiting: a query must still answer in time with what it has."""
    return min(deadline_us + GRACE_US, request.deadline_us - ANSWER_RESERVE_US // 2)


def _parts(parcel: Parcel, most: int) -> Iterator[Parcel]:
    """The parcel in parts of at most ``most`` items."""
    items = parcel.call.items
    for start in range(0, items, most):
        yield _part(parcel, start, min(most, items - start))


def _part(parcel: Parcel, start: int, items: int) -> Parcel:
    """``items`` items of a parcel, from ``start`` on."""
    call = parcel.call
    if items == call.items:
        return parcel
    regions = call.regions[start : start + items]
    return replace(parcel, call=Call(call.stage, call.first + start, items, regions))


def _rest(parcel: Parcel, refused: EndedPart) -> Parcel:
    return _part(parcel, refused.first - parcel.call.first, refused.items)
