"""What the owner of a pool is told by others: asks of peers, and batches that backends start."""

from nexus.core.names import SessionName, declared_session
from nexus.frontend.cluster_view import ClusterView
from nexus.frontend.events import AnswerAsk, Asked, BatchStarted
from nexus.frontend.member_timeline import Started
from nexus.frontend.pool_owner import PoolOwner


def answer_to(asked: Asked, view: ClusterView, now_us: int) -> AnswerAsk:
    """Where a peer's items go; the peer may know another table, or other owners, than we do."""
    owner = _owner(view, asked.session)
    if owner is None:
        refusal = view.not_planned(f"session {asked.session!r}")
        return AnswerAsk(asked.peer, asked.ask_id, refusal=refusal)
    placed = owner.place(asked.session, asked.items, asked.deadline_us, now_us)
    if isinstance(placed, str):
        return AnswerAsk(asked.peer, asked.ask_id, placed)
    return AnswerAsk(asked.peer, asked.ask_id, refusal=placed)


def take_started(event: BatchStarted, view: ClusterView, now_us: int) -> None:
    """A watched backend began a batch."""
    owner = _owner(view, event.session)
    if owner is not None:
        said = Started(event.items, event.busy_us, event.queued_items)
        owner.batch_started(event.backend, event.session, said, now_us)


def _owner(view: ClusterView, session: SessionName) -> PoolOwner | None:
    dispatcher = view.dispatcher(session) or view.dispatcher(declared_session(session))
    pool = dispatcher.pool if dispatcher is not None else None
    return pool.owner if pool is not None and pool.owner.serves(session) else None
