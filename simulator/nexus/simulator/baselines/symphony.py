"""Symphony: one central dispatcher that starts a batch only when one more item could not join.

Source: arXiv 2308.07470 and Chen's thesis, as digested in nexus.md section 4.

Rules: for every session keep the candidate batch, the longest prefix of its queue that its head's
deadline d allows. It may start in [d - l(b + 1), d - l(b)]: not before one more item could no
longer fit. The candidate with the earliest latest start goes first, on the lowest-numbered idle
device. Heads are dropped by a sliding window of the largest batch with (1 + 1/N) l(b) <= SLO, which
N staggered devices can sustain.

Simplified: one perfect dispatcher instead of a thread per model and a rank thread; every device
serves every session (no epoch-scale assignment of models to sub-clusters); SLOs of queries are
split by Nexus' dynamic programming, with its slack: they share their authors and frontend.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nexus.scheduler.scenario import Scenario
from nexus.simulator.baselines.analysed_splits import analysed_splits
from nexus.simulator.baselines.arrangement import Arrangement, ArrangeSettings
from nexus.simulator.baselines.central_queues import CentralQueues
from nexus.simulator.baselines.drop_rules import early, largest_batch, take
from nexus.simulator.baselines.item import Item, Line
from nexus.simulator.baselines.policy import NOTHING, Drop, Effect, Start
from nexus.simulator.baselines.situation import Situation, situation_of, uniform_devices


class _Candidate(NamedTuple):
    """``batch`` items of ``line`` may start now, and must by ``latest_us``."""

    latest_us: int
    line: Line
    batch: int


def arrange(scenario: Scenario, _settings: ArrangeSettings) -> Arrangement:
    """Every session on every device."""
    situation = situation_of(scenario, analysed_splits(scenario), uniform_devices(scenario))
    return Arrangement(situation=situation, policy=lambda: Symphony(situation), slack=True)


class Symphony(CentralQueues):
    """The policy."""

    def __init__(self, situation: Situation) -> None:
        """Nothing waits; all devices are idle."""
        super().__init__(situation)
        staggered = 1.0 + 1.0 / len(situation.devices)
        self._windows = [served.largest_batch(staggered) for served in situation.served]
        self._limits = [served.largest_batch(1.0) for served in situation.served]
        self._wakeup_us: int | None = None

    def arrived(self, item: Item, now_us: int) -> Sequence[Effect]:
        """It joins its session's candidate."""
        queue = self._queues[item.line]
        queue.append(item)
        if not self._idle:
            return NOTHING
        if len(queue) < self._limits[item.line]:
            opens_us = queue[0].deadline_us - self._tables[item.line][len(queue) + 1]
            if opens_us > now_us:
                # One more could still join: the common case, and most of all arrivals.
                self._wakeup_us = min(self._wakeup_us or opens_us, opens_us)
                return NOTHING
        return self._schedule(now_us)

    def next_wakeup_us(self) -> int | None:
        """When the first window opens that is not open yet."""
        return self._wakeup_us

    def _schedule(self, now_us: int) -> list[Effect]:
        effects: list[Effect] = []
        self._wakeup_us = None
        while self._idle:
            best = self._most_urgent(now_us, effects)
            if best is None:
                break
            items = take(self._queues[best.line], best.batch)
            latency_us = self._tables[best.line][best.batch]
            effects.append(Start(self._idle.take(), best.line, items, latency_us))
        return effects

    def _most_urgent(self, now_us: int, effects: list[Effect]) -> _Candidate | None:
        """Among the candidates whose window is open; those that open later set the wake-up."""
        best: _Candidate | None = None
        self._wakeup_us = None
        for line, queue in enumerate(self._queues):
            if not queue:
                continue
            table, limit = self._tables[line], self._limits[line]
            _, dropped = early(queue, self._windows[line], table, now_us)
            if dropped:
                effects.append(Drop(tuple(dropped)))
            batch = min(limit, largest_batch(queue, table, now_us))
            if not batch:
                continue
            head_us = queue[0].deadline_us
            opens_us = head_us - table[batch + 1] if batch < limit else now_us
            if opens_us > now_us:
                if self._wakeup_us is None or opens_us < self._wakeup_us:
                    self._wakeup_us = opens_us
            elif best is None or head_us - table[batch] < best.latest_us:
                best = _Candidate(head_us - table[batch], line, batch)
        return best
