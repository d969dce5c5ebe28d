"""Why a dispatch is not taken at all: decided when it arrives, before any work goes into it."""

from nexus.backend.hosted_session import HostedSession
from nexus.backend.session_queue import QUEUE_ITEMS_MAX
from nexus.core.request import Dispatch, DropReason, Outcome, dropped

DRAINING = dropped(DropReason.DRAINING, "this backend is draining: send it elsewhere")


def refusal(
    session: HostedSession, dispatch: Dispatch, free_us: int, reply_us: int, now_us: int
) -> Outcome | None:
    """The refusal of a dispatch of a loaded session, or None when it may come in.

    ``free_us`` is when the device is expected to be free.
    """
    if dispatch.items > session.batch_max:
        return too_many_items(dispatch.items, session)
    if session.items + dispatch.items > QUEUE_ITEMS_MAX:
        return dropped(
            DropReason.QUEUE_FULL,
            f"{session.items} items of session {dispatch.session!r} wait already; the limit "
            f"is {QUEUE_ITEMS_MAX}",
            retry_after_us=session.placement.slo_us,
        )
    start_us = max(now_us + session.preprocess_us(dispatch.items), free_us)
    if start_us + session.latency_us(dispatch.items) > session.due_us(dispatch, reply_us):
        return dropped(DropReason.DEADLINE, "too little time is left to execute it")
    return None


def too_many_items(items: int, session: HostedSession) -> Outcome:
    """A dispatch travels whole, so it cannot have more items than the largest batch."""
    return dropped(
        DropReason.INVALID,
        f"a dispatch of {items} items exceeds the largest batch of model {session.model.name!r}, "
        f"{session.batch_max}: send it in parts",
    )


def not_hosted(session: str) -> Outcome:
    """The session is not loaded here (any more, or yet)."""
    return dropped(DropReason.NO_ROUTE, f"session {session!r} is not loaded on this backend")


def id_in_use(dispatch_id: int) -> Outcome:
    """The frontend used an id twice."""
    return dropped(
        DropReason.INVALID, f"dispatch id {dispatch_id} is in use already on this connection"
    )
