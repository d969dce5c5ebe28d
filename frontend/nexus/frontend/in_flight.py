"""The engine's bookkeeping: what is under way, for whom, and since when.

Plain slotted objects: three of them are made for every request.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from nexus.core.names import BackendName, StageName
from nexus.core.request import Dispatch, Outcome
from nexus.core.routing import Route
from nexus.frontend.query_run import Call, QueryRun
from nexus.frontend.session_dispatcher import SessionDispatcher


@dataclass(slots=True)
class SessionRequest:
    """A request of one session; its items may be spread over several dispatches."""

    id: int
    deadline_us: int
    unanswered: int
    open: set[int] = field(default_factory=set)
    asking: set[int] = field(default_factory=set)
    outcomes: dict[int, Outcome] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class QueryRequest:
    """One frame of a query."""

    id: int
    deadline_us: int
    run: QueryRun
    budgets_us: dict[StageName, int]
    deadlines_us: dict[StageName, int]
    open: set[int] = field(default_factory=set)
    asking: set[int] = field(default_factory=set)


Request: TypeAlias = SessionRequest | QueryRequest


@dataclass(slots=True)
class SentDispatch:
    """A dispatch that waits for its reply.

    ``route`` is the local route it took; None: it went to a member of the session's pool.
    ``promised`` says that the plan itself promised to be in time, so a miss teaches admission;
    ``tries`` counts the backends that had it before.
    """

    dispatch: Dispatch
    request: Request
    stage: StageName
    first_item: int
    backend: BackendName
    dispatcher: SessionDispatcher
    route: Route | None
    sent_us: int
    promised: bool
    tries: int


class Parcel(NamedTuple):
    """Items of one request that must go somewhere; ``tries`` counts the backends that had them."""

    request: Request
    dispatcher: SessionDispatcher
    call: Call
    deadline_us: int
    tries: int = 0


class EndedPart(NamedTuple):
    """How ``items`` items of a call, from ``first`` on, ended; or why they cannot be placed."""

    stage: StageName
    first: int
    items: int
    outcome: Outcome
