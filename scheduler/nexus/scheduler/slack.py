"""Slack in a duty cycle, spent against the clustering of arrivals.

A node as packed takes just as many items a cycle as arrive on average, in the longest cycle that
the SLOs allow. Where there is time left, a shorter cycle and larger batches cost no device and
spare the second of two requests that come together a whole cycle of waiting (ADR 0011). What counts
is the margin of the worst session: how many standard deviations of a Poisson stream its batch lies
above the arrivals of a cycle.
"""

import math
from dataclasses import replace

from nexus.core.units import US_PER_S
from nexus.scheduler.packing import Node, fit

SIGMAS = 3.0
"""Enough: a Poisson stream exceeds it about once in 700 cycles."""
SHORTER = (0.85, 0.7, 0.6, 0.5, 0.4)
"""Shares of the packed duty cycle that are tried."""


def with_slack_spent(node: Node) -> Node:
    """The node at the duty cycle and batches with the best margin for its worst session."""
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
    """The node with its batches enlarged, the neediest first, and the margin of the worst."""
    batches = list(node.batches)
    while (index := _neediest(node, batches)) is not None:
        batches[index] = _next_batch(node, batches, index)
    margin = min(_margin(node, index, batch) for index, batch in enumerate(batches))
    return replace(node, batches=tuple(batches)), margin


def _margin(node: Node, index: int, batch: int) -> float:
    arrivals = node.demands[index].rate * node.duty_cycle_us / US_PER_S
    return (batch - arrivals) / math.sqrt(arrivals)


def _neediest(node: Node, batches: list[int]) -> int | None:
    """The session of the least margin among those whose batch can still grow."""
    spare_us = node.duty_cycle_us - replace(node, batches=tuple(batches)).execute_us
    best: tuple[float, int] | None = None
    for index, (demand, batch) in enumerate(zip(node.demands, batches, strict=True)):
        margin, larger = _margin(node, index, batch), _next_batch(node, batches, index)
        if not larger or margin >= SIGMAS:
            continue
        latency_us = demand.profile.latency_us(larger)
        longer_us = latency_us - demand.profile.latency_us(batch)
        if longer_us <= spare_us and node.duty_cycle_us + latency_us <= demand.budget_us:
            best = min(best, (margin, index)) if best else (margin, index)
    return best[1] if best else None


def _next_batch(node: Node, batches: list[int], index: int) -> int:
    """The next larger batch size worth running, or 0."""
    demand, batch = node.demands[index], batches[index]
    return demand.cheapest[batch + 1] if batch < demand.batch_limit else 0
