"""Nexus' runtime: sessions spread over devices by planned rate, each device cycles over its own.

Paper sections 5 and 6.3. Frontends divide a session's items over its devices by deficit
round-robin, each for itself. A device takes its sessions in turn, each with its planned batch at
most, drops by its drop rule, and never waits: not for a batch to fill, not for the cycle to end.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nexus.simulator.baselines.drop_rules import DropRule, Queue, take
from nexus.simulator.baselines.item import Item, Line
from nexus.simulator.baselines.policy import NOTHING, Device, Drop, Effect, Start
from nexus.simulator.baselines.round_robin import DeficitRoundRobin
from nexus.simulator.baselines.situation import LatencyTable, Situation


@dataclass(frozen=True, slots=True)
class Slot:
    """A session's place on a device: its batch there and its planned rate (items/s)."""

    line: Line
    batch: int
    rate: float


@dataclass(slots=True)
class _Place:
    """A slot at work; places of one prefix group share one."""

    line: Line
    batch: int
    table: LatencyTable
    queue: Queue = field(default_factory=deque)


class DutyCycleDevices:
    """The policy; ``slots`` are the plan, one sequence for each device.

    ``groups`` maps a line to the line whose queue it joins: the members of a prefix group are
    batched as one.
    """

    def __init__(
        self,
        situation: Situation,
        slots: Sequence[Sequence[Slot]],
        drop: DropRule,
        groups: Mapping[Line, Line] | None = None,
    ) -> None:
        """Nothing waits yet."""
        groups = groups or {}
        self._drop = drop
        self._line = [groups.get(line, line) for line in range(len(situation.served))]
        self._places = [
            [_Place(slot.line, slot.batch, _table(situation, slot.line, device)) for slot in mine]
            for device, mine in enumerate(slots)
        ]
        self._by_line = [{place.line: place for place in places} for places in self._places]
        self._cursor = [0] * len(slots)
        self._busy = [False] * len(slots)
        self._routes = [routes_of(slots, len(situation.served)) for _ in range(situation.frontends)]

    def arrived(self, item: Item, now_us: int) -> Sequence[Effect]:
        """Send it to the backend whose turn it is."""
        line = self._line[item.line]
        route = self._routes[item.frontend][line]
        if route is None:
            return (Drop((item,)),)
        device = route.pick()
        self._by_line[device][line].queue.append(item)
        return NOTHING if self._busy[device] else self._next(device, now_us)

    def finished(self, start: Start, now_us: int) -> Sequence[Effect]:
        """The device is free: the next session's turn."""
        self._busy[start.device] = False
        return self._next(start.device, now_us)

    def woken(self, now_us: int) -> Sequence[Effect]:
        """Nothing is ever waited for."""
        del now_us
        return NOTHING

    def next_wakeup_us(self) -> int | None:
        """Never."""
        return None

    def _next(self, device: Device, now_us: int) -> Sequence[Effect]:
        places = self._places[device]
        effects: list[Effect] = []
        for step in range(len(places)):
            turn = (self._cursor[device] + step) % len(places)
            place = places[turn]
            if not place.queue:
                continue
            batch, dropped = self._drop(place.queue, place.batch, place.table, now_us)
            if dropped:
                effects.append(Drop(tuple(dropped)))
            if batch:
                self._cursor[device] = (turn + 1) % len(places)
                self._busy[device] = True
                items = take(place.queue, batch)
                effects.append(Start(device, place.line, items, place.table[batch]))
                break
        return effects


def _table(situation: Situation, line: Line, device: Device) -> LatencyTable:
    return situation.served[line].tables[situation.devices[device]]


def routes_of(slots: Sequence[Sequence[Slot]], lines: int) -> list[DeficitRoundRobin | None]:
    """One frontend's dispatch of every line; None for a line that no device serves."""
    targets: list[list[Device]] = [[] for _ in range(lines)]
    rates: list[list[float]] = [[] for _ in range(lines)]
    for device, mine in enumerate(slots):
        for slot in mine:
            targets[slot.line].append(device)
            rates[slot.line].append(slot.rate)
    return [
        DeficitRoundRobin(targets[line], rates[line]) if targets[line] else None
        for line in range(lines)
    ]
