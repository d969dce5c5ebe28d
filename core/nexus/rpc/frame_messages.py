"""What a frontend and a backend say to each other on the internal hop (ADR 0007)."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from nexus.core.request import Dispatch, Outcome
from nexus.core.tensor import Tensor

PROTOCOL = 1
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
        return replace(self.dispatch, deadline_us=now_us + self.budget_us)


def infer_at(dispatch: Dispatch, tensors: tuple[Tensor, ...], now_us: int) -> Infer:
    """A dispatch that is sent at ``now_us``, with what is then left of its time."""
    return Infer(dispatch, dispatch.deadline_us - now_us, tensors)


@dataclass(frozen=True, slots=True)
class Reply:
    """Backend to frontend: how the dispatch ended. Every Infer gets exactly one."""

    dispatch_id: int
    outcome: Outcome


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


Message: TypeAlias = Hello | Infer | Reply | Cancel | Ping | Pong | Goodbye
