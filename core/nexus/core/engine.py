"""The shape of every engine: sans-io, driven alike by the servers and by the simulator.

An engine is told what happened and when, and answers with what to do. It never sleeps, reads a
clock, draws a random number or touches a socket.
"""

from typing import Protocol, TypeVar

EventT_contra = TypeVar("EventT_contra", contravariant=True)
EffectT_co = TypeVar("EffectT_co", covariant=True)


class Engine(Protocol[EventT_contra, EffectT_co]):
    """``handle`` every event in time order; call it again (with a Tick) at ``next_wakeup_us``."""

    def handle(self, event: EventT_contra, now_us: int) -> tuple[EffectT_co, ...]:
        """Take one event at ``now_us`` (never earlier than the last) and return the effects."""
        ...

    def next_wakeup_us(self) -> int | None:
        """When the engine next wants a Tick although nothing happens; None: only on events."""
        ...
