"""Best fit among a bounded number of nodes: the part of packing that must scale.

Trying every open node for every residue is quadratic. Open nodes are therefore kept in the order of
their *room*, the share of the duty cycle that is free. A residue tries only those whose room is
just above what it occupies at best, the fullest first, and some of the emptiest; with fewer nodes
than that it tries them all, which is the paper's best fit (ADR 0022).
"""

import math
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable

from nexus.core.names import SessionName
from nexus.core.units import US_PER_S
from nexus.scheduler.demand import BATCH_EPSILON, Demand
from nexus.scheduler.node import Node, memory_bytes, memory_fits, merge

TRIED_MAX = 64
"""Nodes tried for one residue; ADR 0022 says what fewer and more would give."""
EMPTIEST_TRIED = 32
ROUNDING = 1e-4
"""By so much a residue may occupy less than it does at best: cycles are whole microseconds."""


class OpenNodes:
    """Nodes that residues are put into; ``nodes`` only grows, so an index stays what it is."""

    def __init__(self, opened: Iterable[Node] = ()) -> None:
        """Start with nodes that may be filled further."""
        self.nodes: list[Node] = []
        self._rooms: list[tuple[float, int]] = []
        self._memory: dict[int, int] = {}
        self._hosts: dict[SessionName, set[int]] = {}
        for index, node in enumerate(opened):
            self.nodes.append(node)
            self._rooms.append((1 - node.occupancy, index))
            self._host(index)
        self._rooms.sort()

    def open(self, node: Node) -> None:
        """Add a node."""
        self.nodes.append(node)
        self._enter(len(self.nodes) - 1)

    def place(self, single: Node) -> None:
        """Put a residue, given alone on a device, into the node it fills best, else add it."""
        found = self.best_for(single)
        if found is None:
            self.open(single)
        else:
            self.put(*found)

    def best_for(self, single: Node) -> tuple[int, Node] | None:
        """The node that a residue fills best, and the two merged; None when none tried fits."""
        demand = single.demands[0]
        hosts = self.hosts(demand)
        best: tuple[float, int] | None = None
        for index in self._promising(single.occupancy_min):
            occupancy = merged_occupancy(self.nodes[index], single)
            if (
                occupancy > (best[0] if best else 0.0)
                and index not in hosts
                and self.has_memory(index, demand)
            ):
                best = (occupancy, index)
        if best is None:
            return None
        merged = merge(self.nodes[best[1]], single)
        assert merged is not None, "merged_occupancy said that it fits"
        return best[1], merged

    def put(self, index: int, node: Node) -> None:
        """Change a node."""
        self.withdraw(index)
        self.nodes[index] = node
        self._enter(index)

    def withdraw(self, index: int) -> None:
        """Let nothing join a node any more, until it is put."""
        node = self.nodes[index]
        entry = (1 - node.occupancy, index)
        position = bisect_left(self._rooms, entry)
        if self._rooms[position : position + 1] == [entry]:
            del self._rooms[position]
        for demand in node.demands:
            self._hosts[demand.session.name].discard(index)

    def hosts(self, demand: Demand) -> Collection[int]:
        """The nodes that have a share of the demand's session already: they take no other."""
        return self._hosts.get(demand.session.name, ())

    def roomiest(self) -> list[int]:
        """The nodes with the most room, a bounded number of them."""
        return [index for _, index in self._rooms[-TRIED_MAX:]]

    def has_memory(self, index: int, demand: Demand) -> bool:
        """Whether a node has the memory for a demand."""
        node = self.nodes[index]
        limit = node.device.memory_bytes
        if not limit:
            return True
        if index not in self._memory:
            self._memory[index] = memory_bytes(node.demands)
        return self._memory[index] + memory_bytes((demand,)) <= limit or memory_fits(
            (*node.demands, demand), node.device
        )

    def _promising(self, occupancy_min: float) -> list[int]:
        """The nodes worth a try."""
        rooms = self._rooms
        if len(rooms) > TRIED_MAX:
            first = bisect_left(rooms, (occupancy_min - ROUNDING, -1))
            if len(rooms) - first > TRIED_MAX:
                fullest = rooms[first : first + TRIED_MAX - EMPTIEST_TRIED]
                rooms = fullest + rooms[-EMPTIEST_TRIED:]
            else:
                rooms = rooms[first:]
        return [index for _, index in rooms]

    def _enter(self, index: int) -> None:
        node = self.nodes[index]
        insort(self._rooms, (1 - node.occupancy, index))
        self._memory.pop(index, None)
        self._host(index)

    def _host(self, index: int) -> None:
        """Enter a node's sessions."""
        for demand in self.nodes[index].demands:
            self._hosts.setdefault(demand.session.name, set()).add(index)


def merged_occupancy(node: Node, single: Node) -> float:
    """The occupancy of ``merge(node, single)`` without making it; 0.0 when the work does not fit.

    ``single`` is one demand alone; whether its memory fits is not looked at. In the usual case the
    node's cycle is the shorter one, and only the newcomer's batch must be worked out.
    """
    demand = single.demands[0]
    cycle_us, work_us = node.duty_cycle_us, node.execute_us
    if single.duty_cycle_us < cycle_us:
        cycle_us = single.duty_cycle_us
        work_us = _work_us(node, cycle_us)
    wanted = math.ceil(cycle_us * demand.rate / US_PER_S - BATCH_EPSILON) or 1
    cheapest = demand.table.cheapest
    if wanted >= len(cheapest):
        return 0.0
    latency_us = demand.profile.latencies_us[cheapest[wanted] - 1]
    work_us += latency_us
    if work_us > cycle_us or cycle_us + latency_us > demand.budget_us:
        return 0.0
    return work_us / cycle_us


def _work_us(node: Node, cycle_us: int) -> int:
    """The node's work in a shorter cycle than its own; more than the cycle when it does not fit.

    Its sessions stay in time: neither cycle nor batches get longer.
    """
    work_us = 0
    for demand in node.demands:
        wanted = math.ceil(cycle_us * demand.rate / US_PER_S - BATCH_EPSILON) or 1
        work_us += demand.profile.latencies_us[demand.table.cheapest[wanted] - 1]
        if work_us > cycle_us:
            break
    return work_us
