"""Admission by expected wait: refuse at once what could only be late (ADR 0015).

The routing table says how a backend works through a session: batches of ``batch`` items, one every
``duty_cycle_us``, each taking ``latency_us``. From the items under way there the frontend knows in
which batch a new item will be, and when that batch will be done. What the table cannot say (other
frontends sharing the backend, a device slower than its profile) is learnt from promises missed.
"""

import math
from dataclasses import dataclass

from nexus.core.routing import Route

CAUTION_MAX = 16.0
_CAUTION_RAISE = 1.2
# About 1,800 answers in time take one raise back: misses stay well below one in a hundred.
_CAUTION_EASE = 0.9999
# Time takes it back too, or a session of few requests would pay for a bad minute for hours.
_CAUTION_HALF_LIFE_US = 30_000_000
# Share of the time left that admission does not spend: the way there and back, and jitter.
_RESERVE = 0.03


@dataclass(slots=True)
class RouteLoad:
    """What one frontend has under way on one route, and what it learnt about it.

    ``next_start_us`` is when the oldest batch under way should start at the latest; ``caution``
    is how many times more than its own items the frontend reckons with: of other frontends, or
    because the device is slower than the table says.
    """

    outstanding: int = 0
    next_start_us: int = 0
    caution: float = 1.0
    _raised_at_us: int = -1
    _eased_at_us: int = 0

    def expected_us(self, route: Route, items: int, now_us: int) -> int:
        """How long until ``items`` more items would be answered.

        On a route with nothing under way this is the plain batch latency: an eager backend starts
        at once, and one request must always get through, or nothing would be learnt.
        """
        if self.outstanding == 0:
            return _batches(items, route) * route.duty_cycle_us + route.latency_us
        ahead = _batches(self.caution * (self.outstanding + items), route)
        # A batch that is overdue is about to be done; it cannot have been done in the past.
        start_us = max(self.next_start_us - now_us, -route.latency_us)
        return start_us + ahead * route.duty_cycle_us + route.latency_us

    def sent(self, route: Route, items: int, now_us: int) -> None:
        """Count ``items`` on their way."""
        if self.outstanding == 0:
            # An idle session may have to let the others of its duty cycle go first.
            self.next_start_us = now_us + max(0, route.duty_cycle_us - route.latency_us)
        self.outstanding += items

    def answered(self, route: Route, items: int, now_us: int) -> None:
        """Count ``items`` back: a batch is done, the next starts a duty cycle after it started."""
        self.released(items)
        self.next_start_us = now_us + max(0, route.duty_cycle_us - route.latency_us)

    def released(self, items: int) -> None:
        """Count ``items`` as gone without an answer (cancelled, lost, given up)."""
        self.outstanding -= items
        assert self.outstanding >= 0, self

    def learn(self, *, in_time: bool, sent_us: int, now_us: int) -> None:
        """Adjust ``caution``: up a tenth when a promise was missed, slowly down when kept.

        Requests missed together count once: only one sent after the last raise can raise again.
        """
        if in_time:
            faded = 0.5 ** ((now_us - self._eased_at_us) / _CAUTION_HALF_LIFE_US)
            self.caution = max(1.0, 1.0 + (self.caution * _CAUTION_EASE - 1.0) * faded)
            self._eased_at_us = now_us
        elif sent_us > self._raised_at_us:
            self.caution = min(CAUTION_MAX, self.caution * _CAUTION_RAISE)
            self._raised_at_us = self._eased_at_us = now_us


def can_be_in_time(expected_us: int, left_us: int) -> bool:
    """Whether an answer expected in ``expected_us`` fits the time left, with a small reserve."""
    return expected_us <= left_us * (1 - _RESERVE)


def was_promised(route: Route, left_us: int) -> bool:
    """Whether the plan itself promises an answer within ``left_us``: a duty cycle and a batch.

    A caller may allow less; missing *that* says nothing about the backend.
    """
    return left_us >= route.duty_cycle_us + route.latency_us


def _batches(items: float, route: Route) -> int:
    """How many batches start before the one that holds the last of ``items``."""
    return max(0, math.ceil(items / route.batch) - 1)
