"""SHEPHERD: groups of devices that share their sessions, largest batch first, with preemption.

Source: Zhang et al., NSDI'23, as digested in nexus.md section 4.

Rules (HERD): streams are assigned to groups of at most 12 devices in proportion to load, streams of
similar latency together. Rules (FLEX), in each group: a device that becomes free runs the largest
batch that any of the group's sessions can complete in time, passing over heads that are too urgent
for it; when an item arrives and a batch can be made that is lambda = 3.03 times as large as the
smallest running one, that one is preempted at its next exit point, its items wait again and its
work is lost.

Simplified: the integer program that maximises the least burst tolerance becomes the proportional
fill (equal tolerance for all by construction); a session larger than a group counts as several
streams; memory is not looked at.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines.allotment import even_splits, fill, shares
from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.drop_rules import Queue, drop_hopeless
from nexus.simulator.baselines.idle_devices import IdleDevices
from nexus.simulator.baselines.item import Item, Line
from nexus.simulator.baselines.policy import NOTHING, Device, Drop, Effect, Preempt, Start
from nexus.simulator.baselines.round_robin import DeficitRoundRobin
from nexus.simulator.baselines.situation import (
    LatencyTable,
    Situation,
    situation_of,
    uniform_devices,
)

GROUP_DEVICES_MAX = 12
PREEMPTION_FACTOR = 3.03
EXIT_POINTS = 40
"""Places where a batch can be abandoned; its models have 39 to 171 of them."""


def arrange(scenario: Scenario, _settings: ArrangeSettings) -> Arrangement:
    """Groups by load; SLOs of queries divided evenly."""
    situation = situation_of(scenario, even_splits(scenario), uniform_devices(scenario))
    return Arrangement(situation=situation, policy=lambda: Shepherd(situation))


@dataclass(slots=True, eq=False)
class _Running:
    start: Start
    since_us: int


@dataclass(slots=True, eq=False)
class _Group:
    """``stopping`` are devices whose batch was preempted, with when they are free."""

    devices: tuple[Device, ...]
    queues: dict[Line, Queue]
    idle: IdleDevices
    running: dict[Device, _Running] = field(default_factory=dict)
    stopping: dict[Device, int] = field(default_factory=dict)


class Shepherd:
    """The policy."""

    def __init__(self, situation: Situation) -> None:
        """Assign the sessions to groups; nothing waits."""
        self._tables = [served.table for served in situation.served]
        sizes = group_sizes(len(situation.devices))
        parts = _streams(situation, sizes)
        self._groups = []
        first = 0
        for size, mine in zip(sizes, parts, strict=True):
            devices = tuple(range(first, first + size))
            queues: dict[Line, Queue] = {line: deque() for line, _ in mine}
            self._groups.append(_Group(devices, queues, IdleDevices(devices)))
            first += size
        self._group_of = {device: group for group in self._groups for device in group.devices}
        self._routes = [_routes(parts, len(self._tables)) for _ in range(situation.frontends)]

    def arrived(self, item: Item, now_us: int) -> Sequence[Effect]:
        """It joins its group's queue, an idle device takes it, or it makes a batch worth more."""
        group = self._groups[self._routes[item.frontend][item.line].pick()]
        queue = group.queues[item.line]
        queue.append(item)
        if group.idle:
            return self._fill_idle(group, now_us)
        return self._preempt(group, item.line, queue, now_us)

    def finished(self, start: Start, now_us: int) -> Sequence[Effect]:
        """The device takes the largest batch there is."""
        group = self._group_of[start.device]
        del group.running[start.device]
        group.idle.add(start.device)
        return self._fill_idle(group, now_us)

    def woken(self, now_us: int) -> Sequence[Effect]:
        """Preempted batches have reached their exit points."""
        effects: list[Effect] = []
        for group in self._groups:
            free = [device for device, at_us in group.stopping.items() if at_us <= now_us]
            for device in free:
                del group.stopping[device]
                group.idle.add(device)
            if free:
                effects += self._fill_idle(group, now_us)
        return effects

    def next_wakeup_us(self) -> int | None:
        """The next exit point of a preempted batch."""
        return min((at for group in self._groups for at in group.stopping.values()), default=None)

    def _fill_idle(self, group: _Group, now_us: int) -> list[Effect]:
        effects: list[Effect] = []
        while group.idle:
            best: tuple[int, Line, int] | None = None
            for line, queue in group.queues.items():
                dropped = drop_hopeless(queue, self._tables[line], now_us)
                if dropped:
                    effects.append(Drop(tuple(dropped)))
                skipped, batch = largest_feasible(queue, self._tables[line], now_us)
                if batch and (best is None or batch > best[2]):
                    best = (skipped, line, batch)
            if best is None:
                break
            skipped, line, batch = best
            items = _remove(group.queues[line], skipped, batch)
            start = Start(group.idle.take(), line, items, self._tables[line][batch])
            group.running[start.device] = _Running(start, now_us)
            effects.append(start)
        return effects

    def _preempt(self, group: _Group, line: Line, queue: Queue, now_us: int) -> Sequence[Effect]:
        if not group.running:
            return NOTHING
        smallest = min(group.running.values(), key=lambda running: len(running.start.items))
        needed = PREEMPTION_FACTOR * len(smallest.start.items)
        if len(queue) < needed:
            return NOTHING
        free_us = exit_point_us(smallest.since_us, smallest.start.latency_us, now_us)
        _, batch = largest_feasible(queue, self._tables[line], free_us)
        if batch < needed:
            return NOTHING
        start = smallest.start
        del group.running[start.device]
        group.stopping[start.device] = free_us
        waiting = group.queues[start.line]
        merged = sorted([*start.items, *waiting], key=lambda item: item.deadline_us)
        waiting.clear()
        waiting.extend(merged)
        return (Preempt(start, free_us),)


def group_sizes(devices: int) -> list[int]:
    """As few groups of at most 12 as possible, as equal as possible."""
    count = -(-devices // GROUP_DEVICES_MAX)
    return [devices // count + (index < devices % count) for index in range(count)]


def largest_feasible(queue: Queue, table: LatencyTable, now_us: int) -> tuple[int, int]:
    """(heads to pass over, batch): the largest batch from now on that is in time for all in it."""
    largest = len(table) - 1
    length = len(queue)
    for skipped, head in enumerate(queue):
        batch = min(length - skipped, largest)
        if head.deadline_us >= now_us + table[batch]:
            return skipped, batch
    return 0, 0


def exit_point_us(since_us: int, latency_us: int, now_us: int) -> int:
    """The next exit point of a batch that runs since ``since_us``."""
    step_us = max(1, latency_us // EXIT_POINTS)
    return since_us + -(-(now_us - since_us) // step_us) * step_us


def _remove(queue: Queue, skipped: int, batch: int) -> tuple[Item, ...]:
    passed = [queue.popleft() for _ in range(skipped)]
    items = tuple([queue.popleft() for _ in range(batch)])
    queue.extendleft(reversed(passed))
    return items


def _streams(situation: Situation, sizes: Sequence[int]) -> list[list[tuple[Line, float]]]:
    """Each group's sessions with their share; sessions of similar latency lie side by side."""
    amounts = shares(situation)
    order = sorted(range(len(amounts)), key=lambda line: (situation.served[line].table[1], line))
    parts = fill([amounts[line] for line in order], [float(size) for size in sizes])
    return [[(order[index], part) for index, part in mine] for mine in parts]


def _routes(parts: Sequence[Sequence[tuple[Line, float]]], lines: int) -> list[DeficitRoundRobin]:
    """One frontend's dispatch of every session over the groups that serve it."""
    groups: list[list[int]] = [[] for _ in range(lines)]
    rates: list[list[float]] = [[] for _ in range(lines)]
    for group, mine in enumerate(parts):
        for line, part in mine:
            groups[line].append(group)
            rates[line].append(part)
    return [DeficitRoundRobin(groups[line], rates[line]) for line in range(lines)]
