"""A session's rate divided over its devices so that chance finds as much room on each.

Packing fills one device after the other: of a session on two devices the first runs at its very
limit, where every cluster of arrivals is late, while the second has time to spare. What the batches
and cycles can do in all is more than the rate. So every device is given as much as leaves its batch
the same number of standard deviations of a Poisson stream above the arrivals of a cycle, which is
the margin of slack.py. Batches and cycles stay as they are, and no device more is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from nexus.core.names import SessionName
from nexus.core.units import US_PER_S
from nexus.scheduler.demand import BATCH_EPSILON, Demand
from nexus.scheduler.node import Node

BISECTIONS = 20
"""They find the margin to a millionth of where the search begins."""

Place = tuple[int, int]
"""The index of a node, and of a session in it."""


def evened(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes with every session's rate divided at equal margins.

    A session of which no share changes stays as it is, to the last digit: plans that are made of
    the same loads are equal.
    """
    places: dict[SessionName, list[Place]] = {}
    for index, node in enumerate(nodes):
        for position, demand in enumerate(node.demands):
            places.setdefault(demand.name, []).append((index, position))
    shares: dict[int, dict[int, float]] = {}
    for mine in places.values():
        if len(mine) == 1:
            continue
        for (index, position), rate in zip(mine, _divided(nodes, mine), strict=True):
            shares.setdefault(index, {})[position] = rate
    return tuple([_at_rates(node, shares.get(index, {})) for index, node in enumerate(nodes)])


def _divided(nodes: Sequence[Node], places: Sequence[Place]) -> list[float]:
    """The rate of one session at each of its places, in items/s; no more in all than before."""
    rate = sum(nodes[index].demands[position].rate for index, position in places)
    cycles = [
        (nodes[index].batches[position], nodes[index].duty_cycle_us) for index, position in places
    ]
    rates = _rates_at(0.0, cycles)
    low, high = 0.0, float(max(batch for batch, _ in cycles))
    while sum(_rates_at(high, cycles)) > rate:
        high *= 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        attempt = _rates_at(middle, cycles)
        if sum(attempt) >= rate:
            low, rates = middle, attempt
        else:
            high = middle
    return [share * rate / sum(rates) for share in rates]


def _rates_at(margin: float, cycles: Sequence[tuple[int, int]]) -> list[float]:
    """The rates at which batches lie ``margin`` standard deviations above the arrivals of a cycle.

    ``cycles`` are batches and duty cycles (us). From batch = arrivals + margin * sqrt(arrivals).
    """
    return [
        ((math.sqrt(margin * margin + 4 * batch) - margin) / 2) ** 2 * US_PER_S / cycle_us
        for batch, cycle_us in cycles
    ]


def _at_rates(node: Node, rates: dict[int, float]) -> Node:
    """The node with the ``rates`` of some of its sessions, by position."""
    demands = tuple(
        [
            _at_rate(demand, rates.get(position, demand.rate))
            for position, demand in enumerate(node.demands)
        ]
    )
    changed = any(mine is not before for mine, before in zip(demands, node.demands, strict=True))
    return replace(node, demands=demands) if changed else node


def _at_rate(demand: Demand, rate: float) -> Demand:
    same = math.isclose(demand.rate, rate, rel_tol=BATCH_EPSILON)
    return demand if same else demand.at_rate(rate)
