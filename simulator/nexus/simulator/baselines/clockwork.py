"""Clockwork: a central controller that leaves workers no choice, batches in powers of two.

Source: Gujarati et al., OSDI'20, and its code, as digested in nexus.md section 4.

Rules: for every model with at least b requests waiting, b in {1, 2, 4, 8, 16}, there is a strategy
"run b", whose latest start is its head's deadline - l(b). When a worker becomes free the strategy
with the earliest latest start that is not past is taken: for one model that is the largest batch
still in time, among models it is earliest deadline first. A request that not even a batch of one
can serve in time is rejected.

Simplified: the controller knows exact latencies and acts without delay, so an action's window never
closes at a worker and nothing is scheduled ahead; its 5 ms safety margin and its limit of 25 ms for
batches are left out; models are resident everywhere (no paging of weights). All of that favours it.
"""

from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines.allotment import even_splits
from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.central_queues import CentralQueues
from nexus.simulator.baselines.drop_rules import Queue, drop_hopeless, take
from nexus.simulator.baselines.item import Line
from nexus.simulator.baselines.policy import Drop, Effect, Start
from nexus.simulator.baselines.situation import (
    LatencyTable,
    situation_of,
    uniform_devices,
)

BATCHES = (16, 8, 4, 2, 1)


def arrange(scenario: Scenario, _settings: ArrangeSettings) -> Arrangement:
    """Every session on every device; SLOs of queries divided evenly."""
    situation = situation_of(scenario, even_splits(scenario), uniform_devices(scenario))
    return Arrangement(situation=situation, policy=lambda: Clockwork(situation))


class Clockwork(CentralQueues):
    """The policy."""

    def _schedule(self, now_us: int) -> list[Effect]:
        effects: list[Effect] = []
        while self._idle:
            best: tuple[int, Line, int] | None = None
            for line, queue in enumerate(self._queues):
                table = self._tables[line]
                dropped = drop_hopeless(queue, table, now_us)
                if dropped:
                    effects.append(Drop(tuple(dropped)))
                if queue:
                    batch = _largest_in_time(queue, table, now_us)
                    latest_us = queue[0].deadline_us - table[batch]
                    if best is None or latest_us < best[0]:
                        best = (latest_us, line, batch)
            if best is None:
                break
            _, line, batch = best
            items = take(self._queues[line], batch)
            effects.append(Start(self._idle.take(), line, items, self._tables[line][batch]))
        return effects


def _largest_in_time(queue: Queue, table: LatencyTable, now_us: int) -> int:
    """The largest of the batches that is full and in time; a batch of one is."""
    left_us = queue[0].deadline_us - now_us
    for batch in BATCHES:
        if batch <= len(queue) and batch < len(table) and table[batch] <= left_us:
            return batch
    return 1
