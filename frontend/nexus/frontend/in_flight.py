"""The engine's bookkeeping: what is under way, for whom, and since when."""

from dataclasses import dataclass, field
from typing import TypeAlias

from nexus.core.names import StageName
from nexus.core.request import Dispatch, Outcome
from nexus.core.routing import Route
from nexus.frontend.query_run import QueryRun
from nexus.frontend.session_dispatcher import SessionDispatcher


@dataclass(frozen=True, slots=True, kw_only=True)
class SentDispatch:
    """A dispatch that waits for its reply.

    ``promised`` says that the plan itself promised to be in time, so a miss teaches admission;
    ``tries`` counts the backends that had it before.
    """

    dispatch: Dispatch
    request_id: int
    stage: StageName
    first_item: int
    route: Route
    dispatcher: SessionDispatcher
    sent_us: int
    promised: bool
    tries: int


@dataclass(slots=True, kw_only=True)
class SessionRequest:
    """A request of one session; its items may be spread over several dispatches."""

    id: int
    deadline_us: int
    unanswered: int
    open: set[int] = field(default_factory=set)
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


Request: TypeAlias = SessionRequest | QueryRequest
