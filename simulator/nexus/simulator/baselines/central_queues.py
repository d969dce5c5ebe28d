"""What central dispatchers share: a queue for every session, and devices that may all run it."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from nexus.simulator.baselines.drop_rules import Queue
from nexus.simulator.baselines.idle_devices import IdleDevices
from nexus.simulator.baselines.item import Item
from nexus.simulator.baselines.policy import NOTHING, Effect, Start
from nexus.simulator.baselines.situation import Situation


class CentralQueues(ABC):
    """A policy that schedules whenever a device is idle, and waits for nothing by itself."""

    def __init__(self, situation: Situation) -> None:
        """Nothing waits; all devices are idle."""
        self._tables = [served.table for served in situation.served]
        self._queues: list[Queue] = [deque() for _ in situation.served]
        self._idle = IdleDevices(range(len(situation.devices)))

    def arrived(self, item: Item, now_us: int) -> Sequence[Effect]:
        """Queue it, and let an idle device take it."""
        self._queues[item.line].append(item)
        return self._schedule(now_us) if self._idle else NOTHING

    def finished(self, start: Start, now_us: int) -> Sequence[Effect]:
        """The device is idle."""
        self._idle.add(start.device)
        return self._schedule(now_us)

    def woken(self, now_us: int) -> Sequence[Effect]:
        """The time that a policy waited for has come."""
        return self._schedule(now_us)

    def next_wakeup_us(self) -> int | None:
        """Never."""
        return None

    @abstractmethod
    def _schedule(self, now_us: int) -> list[Effect]:
        """Start and drop what is to be started and dropped now."""
