"""Why a dispatch is not taken at all: decided when it arrives, before any work goes into it."""

from nexus.backend.dispatch_queue import QUEUE_ITEMS_MAX
from nexus.backend.hosted_session import HostedSession
from nexus.core.request import Dispatch, DropReason, Outcome, dropped

DRAINING = dropped(DropReason.DRAINING, "this backend is draining: send it elsewhere")

TOO_LITTLE_TIME = dropped(DropReason.DEADLINE, "too little time is left to execute it")


def refusal(
    session: HostedSession, dispatch: Dispatch, due_us: int, free_us: int, now_us: int
) -> Outcome | None:
    """The refusal of a dispatch of a loaded session, or None when it may come in.

    ``due_us`` is when it must have left the device, ``free_us`` when that is expected to be free.
    """
    items = dispatch.items
    if items > session.group.batch_max:
        return too_many_items(items, session)
    if session.items + items > QUEUE_ITEMS_MAX:
        return dropped(
            DropReason.QUEUE_FULL,
            f"{session.items} items of session {dispatch.session!r} wait already; the limit "
            f"is {QUEUE_ITEMS_MAX}",
            retry_after_us=session.placement.slo_us,
        )
    start_us = now_us + items * session.preprocess_us
    start_us = max(start_us, free_us)
    if start_us + session.group.turn.latencies_us[items] > due_us:
        return TOO_LITTLE_TIME
    return None


def too_many_items(items: int, session: HostedSession) -> Outcome:
    """A dispatch travels whole, so it cannot have more items than the largest batch."""
    return dropped(
        DropReason.INVALID,
        f"a dispatch of {items} items exceeds the largest batch of {session.group.key.profile!r}, "
        f"{session.group.batch_max}: send it in parts",
    )


def not_hosted(session: str) -> Outcome:
    """The session is not loaded here (any more, or yet)."""
    return dropped(DropReason.NO_ROUTE, f"session {session!r} is not loaded on this backend")


def id_in_use(dispatch_id: int) -> Outcome:
    """The frontend used an id twice."""
    return dropped(
        DropReason.INVALID, f"dispatch id {dispatch_id} is in use already on this connection"
    )
