"""Fewer nodes by emptying some into the room of the others, sessions divided where need be.

The paper puts a residue on one device. Between many devices there is room on each that is too
small for any session: a session divided over two or three of them may still save a device. Its
parts run smaller batches, which cost more device time in all; but that time is idle anyway, and
nothing is divided unless a whole device is saved.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from nexus.core.units import US_PER_S
from nexus.scheduler.demand import BATCH_EPSILON, Demand
from nexus.scheduler.node import Node, alone_node, fit
from nexus.scheduler.open_nodes import OpenNodes

FAILURES_MAX = 8
"""Nodes that cannot be emptied before the search ends: the next ones are fuller still."""
OCCUPANCY_MAX = 0.95
PARTS_MAX = 3
PART_MIN = 0.1
"""The least share of a session that is worth a place of its own."""

Worth = Callable[[Node], bool]
Changes = list[tuple[int, Node]]
"""Places in the nodes and what was there before."""


def thinned(
    nodes: Sequence[Node], *, keep: int = 0, worth: Worth = lambda _: True, divide: bool = True
) -> list[Node]:
    """The nodes, of one device type, with as many as possible emptied, the least busy first.

    Only those that are ``worth`` emptying are, and only into each other; the first ``keep`` stay
    and may be filled. Sessions are divided only with ``divide``.
    """
    opened = OpenNodes(node.bare for node in nodes)
    bare = list(opened.nodes)
    emptied: set[int] = set()
    failures = 0
    for index in sorted(range(keep, len(nodes)), key=lambda index: bare[index].occupancy):
        node = opened.nodes[index]
        if failures == FAILURES_MAX or node.occupancy > OCCUPANCY_MAX:
            break
        if not worth(node):
            continue
        if _emptied(opened, index, divide=divide):
            emptied.add(index)
        else:
            failures += 1
    return [
        nodes[index] if node is bare[index] else node
        for index, node in enumerate(opened.nodes)
        if index not in emptied
    ]


def _emptied(opened: OpenNodes, index: int, *, divide: bool) -> bool:
    """Whether all sessions of a node found room elsewhere; if not, nothing has changed."""
    node = opened.nodes[index]
    opened.withdraw(index)
    singles = [alone_node(demand, node.device) for demand in node.demands]
    changes: Changes = []
    for single in sorted(singles, key=lambda single: -single.occupancy_min):
        if not _joined(opened, single, changes) and not (
            divide and _divided(opened, single, changes)
        ):
            for place, before in reversed(changes):
                opened.put(place, before)
            opened.put(index, node)
            return False
    return True


def _joined(opened: OpenNodes, single: Node, changes: Changes) -> bool:
    found = opened.best_for(single)
    if found is None:
        return False
    changes.append((found[0], opened.nodes[found[0]]))
    opened.put(*found)
    return True


def _divided(opened: OpenNodes, single: Node, changes: Changes) -> bool:
    """Whether several nodes took the session between them, the largest share first."""
    left = single.demands[0]
    least = PART_MIN * left.rate
    for _ in range(0 if left.session.replicas_max else PARTS_MAX):
        index, rate = _largest_share(opened, left)
        if rate < min(least, left.rate):
            return False
        whole = rate >= left.rate * (1 - BATCH_EPSILON)
        fuller = _with_part(opened.nodes[index], left if whole else left.at_rate(rate))
        if fuller is None:
            return False
        changes.append((index, opened.nodes[index]))
        opened.put(index, fuller)
        if whole:
            return True
        left = left.at_rate(left.rate - rate)
    return False


def _largest_share(opened: OpenNodes, demand: Demand) -> tuple[int, float]:
    """The node that can take the most of a demand, and how much of it."""
    hosts = opened.hosts(demand)
    best = (0, 0.0)
    for index in opened.roomiest():
        rate = min(demand.rate, _share(opened.nodes[index], demand))
        if rate > best[1] and index not in hosts and opened.has_memory(index, demand):
            best = (index, rate)
    return best


def _share(node: Node, demand: Demand) -> float:
    """The rate of a demand that a node can take in its cycle as it is."""
    cycle_us = node.duty_cycle_us
    latency_max_us = min(cycle_us - node.execute_us, demand.budget_us - cycle_us)
    count = bisect_right(demand.table.latencies_us, latency_max_us)
    return demand.table.useful[count - 1] * US_PER_S / cycle_us if count else 0.0


def _with_part(node: Node, part: Demand) -> Node | None:
    occupancy_min = node.occupancy_min + alone_node(part, node.device).occupancy_min
    return fit((*node.demands, part), node.duty_cycle_us, node.device, occupancy_min)
