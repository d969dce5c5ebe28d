"""The engine's bookkeeping: what is under way, for whom, and since when.

Plain slotted objects: three of them are made for every request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from nexus.core.names import BackendName, StageName
from nexus.core.record import record
from nexus.core.request import Dispatch, Outcome
from nexus.frontend.query_run import Call, QueryRun
from nexus.frontend.session_dispatcher import SessionDispatcher, Share


class SessionRequest:
    """A request of one session; its items may be spread over several dispatches.

    ``dispatches`` and ``asks`` are the ids of all that were ever made for it, open or not.
    """

    __slots__ = ("asks", "deadline_us", "dispatches", "id", "outcomes", "unanswered")

    def __init__(self, request_id: int, deadline_us: int, items: int) -> None:
        """Nothing of it is under way yet."""
        self.id = request_id
        self.deadline_us = deadline_us
        self.unanswered = items
        self.dispatches: list[int] = []
        self.asks: tuple[int, ...] = ()
        self.outcomes: dict[int, Outcome] | None = None


@dataclass(slots=True, kw_only=True)
class QueryRequest:
    """One frame of a query; ``dispatches`` and ``asks`` as in SessionRequest."""

    id: int
    deadline_us: int
    run: QueryRun
    budgets_us: Mapping[StageName, int]
    deadlines_us: dict[StageName, int]
    dispatches: list[int] = field(default_factory=list)
    asks: tuple[int, ...] = ()


Request: TypeAlias = SessionRequest | QueryRequest


@record
class Parcel:
    """Items of one request that must go somewhere; ``tries`` counts the backends that had them."""

    request: Request
    dispatcher: SessionDispatcher
    call: Call
    deadline_us: int
    tries: int = 0


@record
class SentDispatch:
    """A dispatch that waits for its reply, and what it carries: all items of ``parcel``.

    ``share`` is what it took of a local route; None: it went to a member of the session's pool.
    ``promised`` says that the plan itself promised to be in time, so a miss teaches admission.
    """

    dispatch: Dispatch
    parcel: Parcel
    backend: BackendName
    share: Share | None
    sent_us: int
    promised: bool

    def answered(self, share: Share, now_us: int) -> None:
        """A local route executed it: it is no longer under way, and the route is learnt from."""
        items = self.dispatch.items
        self.parcel.dispatcher.in_flight -= items
        share.load.answered(share.route, items, now_us)

    def released(self) -> None:
        """It is no longer under way, and teaches nothing."""
        self.parcel.dispatcher.in_flight -= self.dispatch.items
        if self.share is not None:
            self.share.load.released(self.dispatch.items)


class EndedPart(NamedTuple):
    """How ``items`` items of a call, from ``first`` on, ended; or why they cannot be placed."""

    stage: StageName
    first: int
    items: int
    outcome: Outcome
