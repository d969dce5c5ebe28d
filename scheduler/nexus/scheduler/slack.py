"""Slack in a duty cycle, spent against the clustering of arrivals.

A node as packed takes just as many items a cycle as arrive on average, in the longest cycle that
the SLOs allow. Where there is time left, a shorter cycle and larger batches cost no device and
spare the second of two requests that come together a whole cycle of waiting (ADR 0011). What counts
is the margin of the worst session: how many standard deviations of a Poisson stream its batch lies
above the arrivals of a cycle.
"""

import math
from dataclasses import replace
from heapq import heapify, heappop, heapreplace

from nexus.core.units import US_PER_S
from nexus.scheduler.node import Node, fit

SIGMAS = 3.0
"""Enough: a Poisson stream exceeds it about once in 700 cycles."""
SHORTER = (0.85, 0.7, 0.6, 0.5, 0.4)
"""Shares of the packed duty cycle that are tried."""


def with_slack_spent(node: Node) -> Node:
    """The node at the duty cycle and batches with the best margin for its worst session."""
    if node.packed is not None:
        return node
    best, best_margin = _enlarged(node)
    for share in SHORTER:
        if best_margin >= SIGMAS:
            break
        duty_cycle_us = int(node.duty_cycle_us * share)
        shorter = fit(node.demands, duty_cycle_us, node.device, node.occupancy_min)
        if shorter is None:
            break
        enlarged, margin = _enlarged(shorter)
        if margin > best_margin:
            best, best_margin = enlarged, margin
    return best


def _enlarged(node: Node) -> tuple[Node, float]:
    """The node with its batches enlarged, the neediest first, and the margin of the worst.

    A session whose next batch does not fit is done with: the time that is left only shrinks.
    """
    batches = list(node.batches)
    cycle_us = node.duty_cycle_us
    spare_us = cycle_us - node.execute_us
    arrivals = [demand.rate * cycle_us / US_PER_S for demand in node.demands]
    waiting = [
        (_margin(batch, mean), index)
        for index, (batch, mean) in enumerate(zip(batches, arrivals, strict=True))
    ]
    heapify(waiting)
    while waiting and waiting[0][0] < SIGMAS:
        index = waiting[0][1]
        demand, batch = node.demands[index], batches[index]
        latencies_us = demand.profile.latencies_us
        # The next larger batch size worth running, where there is one.
        larger = demand.table.cheapest[batch + 1] if batch < demand.table.limit else batch
        latency_us = latencies_us[larger - 1]
        longer_us = latency_us - latencies_us[batch - 1]
        if larger == batch or longer_us > spare_us or cycle_us + latency_us > demand.budget_us:
            heappop(waiting)
            continue
        batches[index] = larger
        spare_us -= longer_us
        heapreplace(waiting, (_margin(larger, arrivals[index]), index))
    margin = min(map(_margin, batches, arrivals))
    return replace(node, batches=tuple(batches)), margin


def _margin(batch: int, arrivals: float) -> float:
    """How many standard deviations of a Poisson stream a batch lies above the mean arrivals."""
    return (batch - arrivals) / math.sqrt(arrivals)
