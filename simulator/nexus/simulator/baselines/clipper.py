"""Clipper: a container per model, batches adapted to the SLO by trial, containers that share GPUs.

Source: Crankshaw et al., NSDI'17, and its code; in a cluster as the paper's section 7.2 has it.

Rules: containers are put on devices by the batch-oblivious allotment; all containers of a session
pull from its one queue. A container takes at most its current limit of items; a batch that took no
longer than the SLO raises the limit by one when it was full, one that took longer cuts it by 10 %
(additive increase, multiplicative decrease). Requests whose deadline has passed are removed from
the queue, as its model queue does; nothing else is dropped. Containers know nothing of each other:
those on one device share it by time slicing, which slows each. A container pre-processes,
executes and post-processes one after the other.

Simplified: no cost of switching between containers, no RPC to containers, and pre-processing takes
its share of the device as execution does.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines.allotment import even_splits, oblivious_slots
from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.drop_rules import Queue, take
from nexus.simulator.baselines.item import Item, Line
from nexus.simulator.baselines.overlap import without_overlap
from nexus.simulator.baselines.policy import NOTHING, Device, Drop, Effect, Start
from nexus.simulator.baselines.situation import Situation, situation_of, uniform_devices

BACKOFF = 0.9
INCREASE = 1.0


def arrange(scenario: Scenario, _settings: ArrangeSettings) -> Arrangement:
    """Containers by the batch-oblivious allotment; SLOs of queries divided evenly."""
    scenario = without_overlap(scenario)
    situation = situation_of(scenario, even_splits(scenario), uniform_devices(scenario))
    return Arrangement(situation=situation, policy=lambda: Clipper(situation), time_shared=True)


@dataclass(slots=True, eq=False)
class _Container:
    device: Device
    line: Line
    limit: float = 1.0
    busy: bool = False
    started_us: int = 0


@dataclass(slots=True, eq=False)
class _Model:
    containers: list[_Container] = field(default_factory=list)
    queue: Queue = field(default_factory=deque)


class Clipper:
    """The policy."""

    def __init__(self, situation: Situation) -> None:
        """Every container begins with batches of one."""
        self._served = situation.served
        self._models = [_Model() for _ in situation.served]
        self._by_place: dict[tuple[Device, Line], _Container] = {}
        for device, slots in enumerate(oblivious_slots(situation)):
            for slot in slots:
                container = _Container(device, slot.line)
                self._models[slot.line].containers.append(container)
                self._by_place[device, slot.line] = container

    def arrived(self, item: Item, now_us: int) -> Sequence[Effect]:
        """An idle container of its session takes it."""
        model = self._models[item.line]
        model.queue.append(item)
        for container in model.containers:
            if not container.busy:
                return self._pull(container, now_us)
        return NOTHING

    def finished(self, start: Start, now_us: int) -> Sequence[Effect]:
        """The container learns from how long it took, and pulls again."""
        container = self._by_place[start.device, start.line]
        container.busy = False
        took_us = now_us - container.started_us
        if took_us > self._served[start.line].budget_us:
            container.limit = max(1.0, container.limit * BACKOFF)
        elif len(start.items) >= int(container.limit):
            largest = len(self._served[start.line].table) - 1
            container.limit = min(float(largest), container.limit + INCREASE)
        return self._pull(container, now_us)

    def woken(self, now_us: int) -> Sequence[Effect]:
        """Nothing is ever waited for."""
        del now_us
        return NOTHING

    def next_wakeup_us(self) -> int | None:
        """Never."""
        return None

    def _pull(self, container: _Container, now_us: int) -> Sequence[Effect]:
        queue = self._models[container.line].queue
        effects: list[Effect] = []
        late = []
        while queue and queue[0].deadline_us < now_us:
            late.append(queue.popleft())
        if late:
            effects.append(Drop(tuple(late)))
        batch = min(len(queue), int(container.limit))
        if batch:
            container.busy = True
            container.started_us = now_us
            latency_us = self._served[container.line].table[batch]
            effects.append(Start(container.device, container.line, take(queue, batch), latency_us))
        return effects
