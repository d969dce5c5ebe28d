"""What frontends say to backends (ADR 0007) and to each other (ADR 0020)."""

from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.request import Dispatch, Outcome
from nexus.core.tensor import Tensor

PROTOCOL = 2
"""The version of the conversation; both sides must speak the same."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of each side: who speaks, and which protocol."""

    peer: str
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True)
class Infer:
    """Frontend to backend: execute this dispatch on these tensors within ``budget_us`` from now.

    Clocks are not shared, so what travels is the time left (ADR 0005). In a decoded message
    ``dispatch.deadline_us`` equals ``budget_us``: the deadline on a clock that started with the
    message. ``received`` puts it on the receiver's clock.
    """

    dispatch: Dispatch
    budget_us: int
    tensors: tuple[Tensor, ...] = ()

    def received(self, now_us: int) -> Dispatch:
        """The dispatch with its deadline on the clock that shows ``now_us``."""
        sent = self.dispatch
        deadline_us = now_us + self.budget_us
        return Dispatch(sent.id, sent.session, deadline_us, sent.items, sent.regions)


def infer_at(dispatch: Dispatch, tensors: tuple[Tensor, ...], now_us: int) -> Infer:
    """A dispatch that is sent at ``now_us``, with what is then left of its time."""
    return Infer(dispatch, dispatch.deadline_us - now_us, tensors)


@dataclass(frozen=True, slots=True)
class Reply:
    """Backend to frontend: how the dispatch ended. Every Infer gets exactly one."""

    dispatch_id: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Replies:
    """Backend to frontend: how several dispatches of one batch ended; one frame instead of many."""

    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Frontend to backend: nobody waits for this dispatch any more. It still gets a Reply."""

    dispatch_id: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""

    token: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to the Ping of the same token."""

    token: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """I am draining: send no more. What is under way is still answered."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Frontend to the owner of the session's pool: where should ``items`` go?

    ``ask_id`` is unique within the asking frontend; ``budget_us`` the time left when it was sent.
    """

    ask_id: int
    session: str
    items: int
    budget_us: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The owner's answer to an Ask: send to ``backend``, or (``refusal``) do not send at all."""

    ask_id: int
    backend: str = ""
    refusal: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Frontend to backend: from now on say BatchStarted to me, or (``on`` False) no more."""

    on: bool = True


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """Backend to a watching frontend: a batch of ``items`` occupies the device for ``busy_us``.

    They are of ``session`` and what is batched with it; ``queued_items`` of them all still wait.
    """

    session: str
    items: int
    busy_us: int
    queued_items: int


Message: TypeAlias = (
    Hello
    | Infer
    | Reply
    | Replies
    | Cancel
    | Ping
    | Pong
    | Goodbye
    | Ask
    | Granted
    | Watch
    | BatchStarted
)
