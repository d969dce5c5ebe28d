"""Admission by expected wait: refuse at once what could only be late (ADR 0015).

The routing table says how a backend works through a session: batches of ``batch`` items, one every
``duty_cycle_us``, each taking ``latency_us``. From the items under way there the frontend knows in
which batch a new item will be, and when that batch will be done. What the table cannot say (other
frontends sharing the backend, a device slower than its profile, co-located sessions that are idle)
is learnt from the answers: their pace, and the promises missed.
"""

import math
from dataclasses import dataclass

from nexus.core.routing import Route

CAUTION_MAX = 16.0
# Below 1: backends take more than the planned batch where deadlines allow, and drop what is left.
CAUTION_MIN = 0.5
_CAUTION_RAISE = 1.1
# So many misses of one moment count: a device that stood still says little about its speed.
_RAISES_TOGETHER_MAX = 4
# 200 answers in time take one raise back. So misses settle at one in 200: half of what the promise
# allows, and no rarer, since each refusal that prevents one more costs many good answers.
_CAUTION_EASE = _CAUTION_RAISE ** (-1 / 200)
# Until anything was missed, fewer do: what is learnt late is refused meanwhile; misses teach fast.
_CAUTION_EASE_UNMISSED = _CAUTION_RAISE ** (-1 / 20)
# Time takes it back too, or a session of few requests would pay for a bad minute for hours.
_CAUTION_HALF_LIFE_US = 30_000_000
# The way there and back is kept free, but of a short time no more than this share.
_TRAVEL_SHARE_MAX = 0.03


# The measured pace forgets half in so many duty cycles of being busy.
_PACE_HALF_LIFE_CYCLES = 20
# Fewer batches than this measure nothing yet.
_PACE_BATCHES_MIN = 4
# What caution adds must exceed this part of a batch to count: it is learnt, not known.
_CAUTION_SLACK = 0.25


@dataclass(slots=True)
class RouteLoad:
    """What one frontend has under way on one route, and what it learnt about it.

    ``next_start_us`` is when the oldest batch under way should start at the latest; ``caution``
    is how many times its own items the frontend reckons with: more because of other frontends, or
    because the device is slower than the table says; fewer where batches are larger than planned.
    """

    outstanding: int = 0
    next_start_us: int = 0
    caution: float = 1.0
    _raised_at_us: int = -1
    _raises_together: int = 0
    _eased_at_us: int = 0
    _busy_since_us: int = 0
    _busy_us: float = 0.0
    _answered_items: float = 0.0
    _measured_cycle_us: int = 0
    _answered_at_us: int = 0
    _unseen: bool = False

    def expected_us(self, route: Route, items: int, now_us: int) -> int:
        """How long until ``items`` more items would be answered.

        On a route with nothing under way these are plain batch latencies: an eager backend starts
        at once, and one request must always get through, or nothing would be learnt.
        """
        if self._unseen:
            self._see(route)
        cycle_us = self._measured_cycle_us or route.duty_cycle_us
        if self.outstanding == 0:
            ahead = _batches_before_last(items / route.batch)
            last_us = route.batch_us(items - ahead * route.batch)
            return ahead * min(cycle_us, route.latency_us) + last_us
        batches = (self.outstanding + items) / route.batch
        if self.caution > 1.0:
            batches = max(batches, self.caution * batches - _CAUTION_SLACK)
        else:
            batches *= self.caution
        ahead = _batches_before_last(batches)
        # A batch that is overdue is about to be done; it cannot have been done in the past.
        start_us = max(self.next_start_us - now_us, -route.latency_us)
        # Others may join the batch before it starts: it counts as full.
        return start_us + ahead * cycle_us + route.latency_us

    def sent(self, route: Route, items: int, now_us: int) -> None:
        """Count ``items`` on their way."""
        if self._unseen:
            self._see(route)
        if self.outstanding == 0:
            # An idle session may have to let the others of its duty cycle go first ...
            self.next_start_us = now_us + self._pause_us(route)
            # ... and while it was idle they may have been served, in the time that is theirs.
            others_us = max(0, route.duty_cycle_us - route.latency_us)
            self._busy_since_us = max(self._busy_since_us, now_us - others_us)
        self.outstanding += items

    def answered(self, route: Route, items: int, now_us: int) -> None:
        """Count ``items`` back: a batch is done, the next starts a cycle after it started."""
        if now_us > self._busy_since_us:  # Not between the answers of one batch.
            busy_us = now_us - self._busy_since_us
            half_life_us = _PACE_HALF_LIFE_CYCLES * route.duty_cycle_us
            kept = 0.5 ** (busy_us / half_life_us) if half_life_us else 0.0
            self._busy_us = self._busy_us * kept + busy_us
            self._answered_items *= kept
            self._busy_since_us = now_us
        self._answered_items += items
        self._answered_at_us = now_us
        self._unseen = True
        self.released(items)

    def released(self, items: int) -> None:
        """Count ``items`` as gone without an answer (cancelled, lost, given up)."""
        self.outstanding -= items
        assert self.outstanding >= 0, self

    def learn(self, *, in_time: bool, sent_us: int, now_us: int) -> None:
        """Adjust ``caution``: up a step when a promise was missed, slowly down when kept.

        Of those missed together, sent before the first of them was known, only a few count.
        """
        if in_time:
            faded = 0.5 ** ((now_us - self._eased_at_us) / _CAUTION_HALF_LIFE_US)
            ease = _CAUTION_EASE if self._raised_at_us >= 0 else _CAUTION_EASE_UNMISSED
            eased = 1.0 + (self.caution * ease - 1.0) * faded
            self.caution = max(CAUTION_MIN, eased)
            self._eased_at_us = now_us
            return
        if sent_us > self._raised_at_us:
            self._raised_at_us, self._raises_together = now_us, 0
        if self._raises_together < _RAISES_TOGETHER_MAX:
            self._raises_together += 1
            self.caution = min(CAUTION_MAX, self.caution * _CAUTION_RAISE)
            self._eased_at_us = now_us

    def unlearn(self) -> None:
        """Forget what the answers taught: another process may answer from now on."""
        self.caution = 1.0
        self._raised_at_us = -1
        self._busy_us = self._answered_items = 0.0
        self._measured_cycle_us = 0
        self._unseen = False

    def _see(self, route: Route) -> None:
        """Take in the last answers: the pace, and when the next batch starts. Once a batch.

        The table's duty cycle is the worst case, when all sessions of the backend are as busy as
        planned. Eager backends are faster when they are not, and then take more than planned.
        """
        self._unseen = False
        if self._answered_items >= _PACE_BATCHES_MIN * route.batch:
            measured_us = self._busy_us / self._answered_items * route.batch
            self._measured_cycle_us = min(route.duty_cycle_us, max(1, int(measured_us)))
        self.next_start_us = self._answered_at_us + self._pause_us(route)

    def _pause_us(self, route: Route) -> int:
        """How long after a batch is done the next of this session starts."""
        cycle_us = self._measured_cycle_us or route.duty_cycle_us
        return max(0, cycle_us - route.latency_us)


def can_be_in_time(expected_us: int, left_us: int, travel_us: int) -> bool:
    """Whether an answer expected in ``expected_us`` fits the time left with the way there and back.

    Nothing else is kept free: what the plan promises to the last moment must not be refused.
    """
    return expected_us <= left_us - min(travel_us, _TRAVEL_SHARE_MAX * left_us)


def was_promised(route: Route, left_us: int) -> bool:
    """Whether the plan itself promises an answer within ``left_us``: a duty cycle and a batch.

    A caller may allow less; missing *that* says nothing about the backend.
    """
    return left_us >= route.duty_cycle_us + route.latency_us


def _batches_before_last(batches: float) -> int:
    """How many batches start before the one that the last item is in."""
    return math.ceil(batches) - 1
