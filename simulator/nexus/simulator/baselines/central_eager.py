"""Central and eager: one queue a session, and whichever device is idle takes a batch at once.

No system of its own: it isolates what deferring adds to one central queue (nexus.md section 4: to
centralise without deferring is worse than Nexus).

Rules: all devices serve all sessions; an idle device takes the session whose head is most urgent
and, after the sliding-window early drop, as large a batch as the queue has, up to the largest with
l(b) <= SLO.
"""

from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines.allotment import even_splits
from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.central_queues import CentralQueues
from nexus.simulator.baselines.drop_rules import early, take
from nexus.simulator.baselines.policy import Drop, Effect, Start
from nexus.simulator.baselines.situation import Situation, situation_of, uniform_devices


def arrange(scenario: Scenario, _settings: ArrangeSettings) -> Arrangement:
    """Every session on every device; SLOs of queries divided evenly."""
    situation = situation_of(scenario, even_splits(scenario), uniform_devices(scenario))
    return Arrangement(situation=situation, policy=lambda: CentralEager(situation))


class CentralEager(CentralQueues):
    """The policy."""

    def __init__(self, situation: Situation) -> None:
        """Nothing waits; all devices are idle."""
        super().__init__(situation)
        self._windows = [served.largest_batch(1.0) for served in situation.served]

    def _schedule(self, now_us: int) -> list[Effect]:
        effects: list[Effect] = []
        while self._idle:
            waiting = [line for line, queue in enumerate(self._queues) if queue]
            if not waiting:
                break
            line = min(waiting, key=lambda waits: self._queues[waits][0].deadline_us)
            queue, table = self._queues[line], self._tables[line]
            batch, dropped = early(queue, self._windows[line], table, now_us)
            if dropped:
                effects.append(Drop(tuple(dropped)))
            if batch:
                effects.append(Start(self._idle.take(), line, take(queue, batch), table[batch]))
        return effects
