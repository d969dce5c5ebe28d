"""Nexus (SOSP'19), figure 9: early drop against lazy drop, in virtual time.

One device, one session with an SLO of 100 ms, l(b) = alpha b + beta with 25 / l(25) = 500 items/s
and 2 l(25) = 100 ms, Poisson arrivals. The figure shows the highest rate with at most 1 % bad. Our
early drop is to be no worse than the paper's at any alpha, within the error of reading the figure,
and lazy dropping must show what the paper says of it.
"""

import random
from collections.abc import Callable

import pytest

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import DispatchQueue, Queued
from nexus.backend.duty_cycle import Turn, choose, window
from nexus.backend.early_drop import LatencyTable, largest_batch

SLO_US = 100_000
PLANNED_BATCH = 25
BATCH_MAX = 75
ITEMS = 12_000
BAD_MAX = 0.01
TOLERANCE = 0.03

PAPER_EARLY = {1.0: 445, 1.2: 452, 1.4: 458, 1.6: 465, 1.8: 478, 1.9: 483}
"""alpha in ms to items/s, read off figure 9 (nexus.md 2.7)."""

LAZY_SIMULATED = {1.0: 366, 1.4: 400, 1.8: 450}
"""The same for lazy dropping, from an independent simulation (nexus.md 2.7)."""

Policy = Callable[[DispatchQueue, int, LatencyTable], tuple[int, int]]
"""(dispatches to drop from the head, batch to execute after them)."""


def table_of(alpha_ms: float) -> LatencyTable:
    beta_us = 50_000 - 25_000 * alpha_ms
    return (0, *(round(1_000 * alpha_ms * b + beta_us) for b in range(1, BATCH_MAX + 1)))


def early(queue: DispatchQueue, now_us: int, table: LatencyTable) -> tuple[int, int]:
    """What the backend does."""
    turn = Turn(queue.waiting, PLANNED_BATCH, SLO_US, table)
    head = window(turn, now_us)
    rest = Turn(queue.waiting[head.dropped :], PLANNED_BATCH, SLO_US, table)
    choice = choose((rest,), (head,), now_us)
    return head.dropped, choice.taken if choice else 0


def lazy(queue: DispatchQueue, now_us: int, table: LatencyTable) -> tuple[int, int]:
    """Drop only whom nothing can save, and give the head all its time allows."""
    late = sum(now_us + table[1] > queued.due_us for queued in queue.waiting)
    left = len(queue) - late
    if not left:
        return late, 0
    return late, largest_batch(queue.waiting[late].due_us - now_us, left, table)


def bad_share(policy: Policy, table: LatencyTable, rate: float) -> float:
    """The share of items that were not executed in time."""
    chance = random.Random(1)
    arrivals_us, at_us = [], 0.0
    for _ in range(ITEMS):
        at_us += chance.expovariate(rate) * 1e6
        arrivals_us.append(round(at_us))
    queue, now_us, arrived, bad = DispatchQueue(), 0, 0, 0
    while arrived < ITEMS or len(queue):
        if not len(queue):
            now_us = max(now_us, arrivals_us[arrived])
        while arrived < ITEMS and arrivals_us[arrived] <= now_us:
            due_us = arrivals_us[arrived] + SLO_US
            queue.push(Queued(due_us, arrived, DispatchKey(0, arrived), 1))
            arrived += 1
        dropped, batch = policy(queue, now_us, table)
        bad += len(queue.take(dropped))
        queue.take(batch)
        now_us += table[batch]
    return bad / ITEMS


def highest_rate(policy: Policy, table: LatencyTable) -> float:
    """The highest rate with at most 1 % bad, to 2 items/s."""
    low, high = 200.0, 520.0
    while high - low > 2:
        middle = (low + high) / 2
        low, high = (middle, high) if bad_share(policy, table, middle) <= BAD_MAX else (low, middle)
    return low


@pytest.mark.parametrize(("alpha_ms", "paper"), PAPER_EARLY.items())
def test_paper_early_drop_curve(alpha_ms: float, paper: float) -> None:
    rate = highest_rate(early, table_of(alpha_ms))
    assert paper * (1 - TOLERANCE) <= rate <= 500


@pytest.mark.parametrize(("alpha_ms", "simulated"), LAZY_SIMULATED.items())
def test_paper_lazy_drop_curve(alpha_ms: float, simulated: float) -> None:
    rate = highest_rate(lazy, table_of(alpha_ms))
    assert rate == pytest.approx(simulated, rel=TOLERANCE)


def test_paper_lazy_drop_collapses_where_early_drop_holds() -> None:
    """Figure 5: at 450 items/s and alpha 1 ms."""
    table = table_of(1.0)
    assert bad_share(lazy, table, 450) > 0.3
    assert bad_share(early, table, 450) < 0.02
