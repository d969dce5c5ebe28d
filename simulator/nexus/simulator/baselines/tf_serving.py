"""TF-Serving: a fixed largest batch with a timeout for each model, models in turn on each device.

Source: Olston et al. 2017 and its batch scheduler, set up as in the paper's section 7.2.

Rules: sessions are put on devices by the batch-oblivious allotment and items divided by deficit
round-robin. As it knows no SLO, each model's largest batch is set to the largest with
2 l(b) <= SLO, and the timeout to what that leaves. A batch may run when it is full or when its
first item has waited for the timeout; a device's models take turns. Nothing is dropped for its
deadline; an item that finds ``ENQUEUED_BATCHES_MAX`` batches of its model waiting is refused.
Pre-processing is not overlapped with execution: in the paper's Figure 10 Nexus without overlap is
where TF-Serving is.

Simplified: a device runs exactly one batch at a time, and switches models at no cost.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines.allotment import even_splits, oblivious_slots
from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.drop_rules import Queue, take
from nexus.simulator.baselines.duty_cycle_devices import Slot, routes_of
from nexus.simulator.baselines.item import Item, Line
from nexus.simulator.baselines.overlap import without_overlap
from nexus.simulator.baselines.policy import NOTHING, Device, Effect, Refuse, Start
from nexus.simulator.baselines.situation import Served, Situation, situation_of, uniform_devices

ENQUEUED_BATCHES_MAX = 10
"""Its scheduler's default for ``max_enqueued_batches``."""


def arrange(scenario: Scenario, _settings: ArrangeSettings) -> Arrangement:
    """Models by the batch-oblivious allotment; SLOs of queries divided evenly."""
    scenario = without_overlap(scenario)
    situation = situation_of(scenario, even_splits(scenario), uniform_devices(scenario))
    return Arrangement(situation=situation, policy=lambda: TfServing(situation))


@dataclass(slots=True, eq=False)
class _Place:
    """One model on one device."""

    line: Line
    served: Served
    batch: int
    timeout_us: int
    queue: Queue = field(default_factory=deque)

    @property
    def ready_us(self) -> int:
        """When its waiting batch may run: at once when full, else at its timeout."""
        if len(self.queue) >= self.batch:
            return 0
        return self.queue[0].deadline_us - self.served.budget_us + self.timeout_us


class TfServing:
    """The policy."""

    def __init__(self, situation: Situation) -> None:
        """Nothing waits; all devices are idle."""
        slots = oblivious_slots(situation)
        self._places = [[_place(situation, slot) for slot in mine] for mine in slots]
        self._by_line = [{place.line: place for place in mine} for mine in self._places]
        self._routes = [routes_of(slots, len(situation.served)) for _ in range(situation.frontends)]
        self._cursor = [0] * len(slots)
        self._busy = [False] * len(slots)
        self._ready_us: dict[Device, int] = {}

    def arrived(self, item: Item, now_us: int) -> Sequence[Effect]:
        """Send it to the device whose turn it is."""
        route = self._routes[item.frontend][item.line]
        assert route is not None, "every session has a share"
        device = route.pick()
        place = self._by_line[device][item.line]
        if len(place.queue) >= ENQUEUED_BATCHES_MAX * place.batch:
            return (Refuse((item,)),)
        place.queue.append(item)
        return NOTHING if self._busy[device] else self._next(device, now_us)

    def finished(self, start: Start, now_us: int) -> Sequence[Effect]:
        """The next model's turn."""
        self._busy[start.device] = False
        return self._next(start.device, now_us)

    def woken(self, now_us: int) -> Sequence[Effect]:
        """A batch's timeout has come."""
        due = [device for device, ready_us in self._ready_us.items() if ready_us <= now_us]
        return [effect for device in due for effect in self._next(device, now_us)]

    def next_wakeup_us(self) -> int | None:
        """The first timeout on an idle device."""
        return min(self._ready_us.values(), default=None)

    def _next(self, device: Device, now_us: int) -> Sequence[Effect]:
        self._ready_us.pop(device, None)
        places = self._places[device]
        first_us: int | None = None
        for step in range(len(places)):
            turn = (self._cursor[device] + step) % len(places)
            place = places[turn]
            if not place.queue:
                continue
            ready_us = place.ready_us
            if ready_us <= now_us:
                self._cursor[device] = (turn + 1) % len(places)
                self._busy[device] = True
                batch = min(len(place.queue), place.batch)
                items = take(place.queue, batch)
                return (Start(device, place.line, items, place.served.table[batch]),)
            first_us = ready_us if first_us is None else min(first_us, ready_us)
        if first_us is not None:
            self._ready_us[device] = first_us
        return NOTHING


def _place(situation: Situation, slot: Slot) -> _Place:
    served = situation.served[slot.line]
    timeout_us = max(0, served.budget_us - 2 * served.table[slot.batch])
    return _Place(slot.line, served, slot.batch, timeout_us)
