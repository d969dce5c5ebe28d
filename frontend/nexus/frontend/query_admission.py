"""Whether a query's frame is taken, and by when each of its stages must be done."""

from nexus.core.names import StageName
from nexus.core.query import Query
from nexus.core.request import DropReason, Outcome, dropped
from nexus.frontend.counters import ArrivalCounters
from nexus.frontend.events import SubmitQuery
from nexus.frontend.in_flight import QueryRequest
from nexus.frontend.limits import ANSWER_RESERVE_US, QUERIES_IN_FLIGHT_MAX
from nexus.frontend.outcomes import overloaded
from nexus.frontend.planned_query import PlannedQuery
from nexus.frontend.query_deadlines import expected_finish_us
from nexus.frontend.query_run import QueryRun


def query_refusal(
    query: Query,
    frames_in_flight: int,
    expected_us: dict[str, int],
    deadline_us: int,
    now_us: int,
) -> Outcome | None:
    """Refuse a frame at the door when the query as a whole would not be done in time.

    Work done upstream would be wasted, were it refused at a later stage.
    """
    if frames_in_flight >= QUERIES_IN_FLIGHT_MAX:
        message = f"query {query.name!r} has {QUERIES_IN_FLIGHT_MAX} frames under way"
        return dropped(DropReason.QUEUE_FULL, message, retry_after_us=query.slo_us)
    finish_us = expected_finish_us(query, expected_us, now_us)
    if finish_us > deadline_us:
        return overloaded(f"query {query.name!r}", finish_us - now_us, deadline_us - now_us)
    return None


def expected_stages_us(
    planned: PlannedQuery, counters: ArrivalCounters, now_us: int
) -> dict[StageName, int]:
    """How long each stage would take now; 0 where it has no backend (it will say so itself)."""
    calls = counters.expected_calls(planned)
    expected_us = {}
    for entry in planned.stages:
        name, dispatcher = entry.stage.name, entry.dispatcher
        items = max(1, round(calls[name]))
        least_us = dispatcher and dispatcher.expected_us(items, now_us)
        expected_us[name] = least_us or 0
    return expected_us


def query_request(planned: PlannedQuery, event: SubmitQuery, now_us: int) -> QueryRequest:
    """The frame with its stages' budgets and deadlines, by the table in use."""
    last_us = event.deadline_us - ANSWER_RESERVE_US
    return QueryRequest(
        id=event.request_id,
        deadline_us=event.deadline_us,
        run=QueryRun(planned.query),
        budgets_us=planned.budgets.budgets_us,
        deadlines_us=planned.budgets.deadlines_us(now_us, last_us),
    )
