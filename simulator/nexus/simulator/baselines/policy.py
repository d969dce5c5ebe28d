"""What a baseline policy is: sans-io, as the engines are, but told of devices instead of networks.

A policy hears of items, of batches that ended and of time; it answers with batches to start, items
to drop, and when it wants to be woken. It never sees whether an answer was in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from nexus.simulator.baselines.item import Item, Line

Device: TypeAlias = int
"""A device by its index in ``Situation.devices``."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Execute ``items``, all of ``line``, as one batch that takes ``latency_us`` of the device."""

    device: Device
    line: Line
    items: tuple[Item, ...]
    latency_us: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Give these items up: they can no longer be in time."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Turn these items away: a queue is full."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Preempt:
    """Abandon a running batch; its items are the policy's again, the device's work is lost.

    The device stays occupied until ``free_us``: the batch stops at its next exit point.
    """

    start: Start
    free_us: int


Effect: TypeAlias = Start | Drop | Refuse | Preempt
NOTHING: tuple[Effect, ...] = ()


class Policy(Protocol):
    """Called in time order; woken once at ``next_wakeup_us`` (None: not at all)."""

    def arrived(self, item: Item, now_us: int) -> Sequence[Effect]:
        """An item is ready to be executed."""
        ...

    def finished(self, start: Start, now_us: int) -> Sequence[Effect]:
        """A batch ended; its items have their answers."""
        ...

    def woken(self, now_us: int) -> Sequence[Effect]:
        """The time last asked for has come."""
        ...

    def next_wakeup_us(self) -> int | None:
        """When to be woken, whatever happens."""
        ...
