"""What happens to the frontend engine (events) and what it asks for (effects).

Those of every single request are records (``nexus.core.record``): there are many of them.
"""

from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.answer import StageResult
from nexus.core.cluster import Catalogue
from nexus.core.names import BackendName, FrontendName, QueryName, SessionName
from nexus.core.record import record
from nexus.core.request import Dispatch, Outcome
from nexus.core.routing import RoutingTable


@record
class Submit:
    """A request of one session arrived. ``deadline_us`` is absolute; ``items`` its batch size."""

    request_id: int
    session: SessionName
    deadline_us: int
    items: int = 1


@dataclass(frozen=True, slots=True)
class SubmitQuery:
    """A frame for a query arrived."""

    request_id: int
    query: QueryName
    deadline_us: int


@record
class Replied:
    """A backend answered a dispatch, or said why it did not execute it."""

    dispatch_id: int
    outcome: Outcome


@record
class RepliedTogether:
    """A backend answered several dispatches at once: those of one batch from this frontend."""

    dispatch_ids: tuple[int, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class PeersChanged:
    """The frontends that can be reached now, this one included; pools are owned among them."""

    own: FrontendName
    peers: tuple[FrontendName, ...]


@record
class Asked:
    """A peer asks this frontend, the owner of the session's pool, where ``items`` should go.

    ``ask_id`` is unique within the asking peer; ``deadline_us`` on this process's clock.
    """

    peer: FrontendName
    ask_id: int
    session: SessionName
    items: int
    deadline_us: int


@record
class AskAnswered:
    """The owner answered: send to ``backend``, or (``refusal``) do not send at all."""

    ask_id: int
    backend: BackendName = ""
    refusal: Outcome | None = None


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """A watched backend started a batch of ``items`` of ``session`` and what is batched with it.

    It will be free in ``busy_us``; ``queued_items`` of them all still wait there.
    """

    backend: BackendName
    session: SessionName
    items: int
    busy_us: int
    queued_items: int = 0


@dataclass(frozen=True, slots=True)
class BackendFound:
    """A backend is connected: routes to it may be used. Until then they are not."""

    backend: BackendName


@dataclass(frozen=True, slots=True)
class BackendLeaving:
    """A backend drains (Goodbye): nothing new goes there, what is under way is still answered."""

    backend: BackendName


@dataclass(frozen=True, slots=True)
class BackendLost:
    """The connection to a backend is gone, and what was under way there with it."""

    backend: BackendName


@dataclass(frozen=True, slots=True)
class TableChanged:
    """A routing table was read; one older than the table in use is ignored."""

    table: RoutingTable


@dataclass(frozen=True, slots=True)
class CatalogueChanged:
    """The declared models, sessions and queries were read."""

    catalogue: Catalogue


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller of a request went away."""

    request_id: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Refuse everything new from now on; finish what is under way."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: ``next_wakeup_us`` was reached."""


ClusterEvent: TypeAlias = (
    BackendFound
    | BackendLeaving
    | BackendLost
    | TableChanged
    | CatalogueChanged
    | PeersChanged
    | Drain
)
PoolEvent: TypeAlias = Asked | AskAnswered | BatchStarted
Event: TypeAlias = (
    Submit | SubmitQuery | Replied | RepliedTogether | Cancelled | Tick | PoolEvent | ClusterEvent
)


@record
class Send:
    """Send a dispatch with its request's payload.

    For a query that is the frame as it is (``whole_payload``); for a request of one session the
    rows of its dispatch, from ``first_item`` on.
    """

    backend: BackendName
    address: str
    request_id: int
    dispatch: Dispatch
    first_item: int = 0
    whole_payload: bool = True


@dataclass(frozen=True, slots=True)
class CancelSent:
    """Tell a backend that nobody waits for a dispatch any more; a reply may still come."""

    backend: BackendName
    dispatch_id: int


@record
class Ask:
    """Ask the owner of the session's pool (a peer) where to send; AskAnswered will come, or not."""

    peer: FrontendName
    ask_id: int
    session: SessionName
    items: int
    deadline_us: int


@record
class AnswerAsk:
    """Answer a peer's ask: ``backend``, or the refusal."""

    peer: FrontendName
    ask_id: int
    backend: BackendName = ""
    refusal: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell a backend to say BatchStarted to this frontend from now on, or (``on`` False) no more.

    Lost with the connection: it is said anew after each BackendFound.
    """

    backend: BackendName
    on: bool = True


@record
class Answer:
    """The one end of a request. ``stages`` is for queries: every stage that was reached."""

    request_id: int
    outcome: Outcome
    stages: tuple[StageResult, ...] = ()


Effect: TypeAlias = Send | CancelSent | Ask | AnswerAsk | Watch | Answer
