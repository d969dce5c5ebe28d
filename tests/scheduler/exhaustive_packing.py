"""Packing as it was before it had to scale: every node is tried, at every duty cycle worth trying.

What benchmarks and tests hold the quick packing against.
"""

from collections.abc import Iterable, Sequence

from nexus.core.device import DeviceSpec
from nexus.core.units import US_PER_S
from nexus.scheduler.demand import Demand
from nexus.scheduler.node import Node, alone_node, fit, memory_fits, merge


def packed_exhaustively(residues: Iterable[Demand], device: DeviceSpec) -> list[Node]:
    """The better of two orders, best fit among all nodes, with a search of duty cycles."""
    alone = [alone_node(residue, device) for residue in residues]
    falling = _best_fit(sorted(alone, key=lambda node: -node.occupancy))
    rising = _best_fit(sorted(alone, key=lambda node: node.duty_cycle_us))
    return min(falling, rising, key=len)


def _best_fit(alone: Sequence[Node]) -> list[Node]:
    nodes: list[Node] = []
    for single in alone:
        best: tuple[float, int, Node] | None = None
        for index, node in enumerate(nodes):
            merged = merge(node, single) or _searched(node, single)
            if merged is not None and (best is None or merged.occupancy > best[0]):
                best = (merged.occupancy, index, merged)
        if best is None:
            nodes.append(single)
        else:
            nodes[best[1]] = best[2]
    return nodes


def _searched(node: Node, single: Node) -> Node | None:
    """Both on one device at the duty cycle that occupies least of it, or None."""
    demands = node.demands + single.demands
    occupancy_min = node.occupancy_min + single.occupancy_min
    if occupancy_min > 1 or not memory_fits(demands, node.device):
        return None
    found = (fit(demands, cycle, node.device, occupancy_min) for cycle in _duty_cycles(demands))
    fitting = [node for node in found if node is not None]
    return min(fitting, key=lambda node: node.occupancy, default=None)


def _duty_cycles(demands: tuple[Demand, ...]) -> list[int]:
    """For given batch sizes the longest is best: arrivals that fill one limit it, or the SLO."""
    fastest_us = [demand.profile.latency_us(demand.cheapest[1]) for demand in demands]
    shortest_us = sum(fastest_us)
    longest_us = min(d.budget_us - us for d, us in zip(demands, fastest_us, strict=True))
    cycles: set[int] = set()
    for demand in demands:
        first = max(1, int(shortest_us * demand.rate / US_PER_S))
        last = min(demand.batch_limit, int(longest_us * demand.rate / US_PER_S) + 1)
        for batch in range(first, last + 1):
            latest_us = demand.budget_us - demand.profile.latencies_us[batch - 1]
            cycles.add(min(demand.gather_us(batch), latest_us))
    return sorted(cycle for cycle in cycles if shortest_us <= cycle <= longest_us)
