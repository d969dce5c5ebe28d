"""What a node needs of its host, and what it costs on one that does not have all of it.

All members of a pool are one node, and its old members are hosts that are all alike: assigning many
nodes therefore compares what is different only, and then pairs off whoever is alike.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from nexus.core.names import ModelName, SessionName
from nexus.scheduler.hosts import Host, alike
from nexus.scheduler.node import Node

LOAD_US_UNKNOWN = 1_000_000
"""Load time assumed where the profile does not say."""
SESSION_MOVE_US = 1_000
HOSTS_TRIED_MAX = 16
"""Of the kinds of backends that have a session or model, so many are looked at."""
FAILED_US = 3_600_000_000
"""A backend that could not load a session's model gets it again only if no other is left."""

_Pair: TypeAlias = tuple[float, int, int, deque[int], deque[int]]
"""The gain, negated; the first row and column; all rows and columns like them."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The models, with the time that loading each takes, and the sessions of a node."""

    load_us: Mapping[ModelName, int]
    sessions: frozenset[SessionName]

    @classmethod
    def of(cls, node: Node) -> "Needs":
        """The needs of a node; sessions that are batched together all count."""
        load_us: dict[ModelName, int] = {}
        sessions: list[SessionName] = []
        for demand in node.demands:
            each_us = demand.profile.load_us or LOAD_US_UNKNOWN
            if not demand.parts:
                sessions.append(demand.session.name)
                load_us[demand.session.model] = each_us
                continue
            sessions += [part.session.name for part in demand.parts]
            models = {part.session.model for part in demand.parts}
            load_us.update(dict.fromkeys(models, each_us // len(models)))
        return cls(load_us, frozenset(sessions))

    def cost_us(self, host: Host) -> float:
        """What the node costs there: see placement.py."""
        if self.sessions == host.sessions and not host.failed:
            return 0.0
        cost_us: float = SESSION_MOVE_US * len(self.sessions - host.sessions)
        cost_us += FAILED_US * len(self.sessions & host.failed)
        models = host.models
        return cost_us + sum(us for model, us in self.load_us.items() if model not in models)


def assigned_greedily(nodes: Sequence[Needs], hosts: Sequence[Host]) -> list[int]:
    """The host of each node: shared sessions first, then shared models, then whoever is left."""
    rows: dict[int, deque[int]] = {}
    for row, node in enumerate(nodes):
        rows.setdefault(id(node), deque()).append(row)
    free = _Free(nodes, hosts, tuple(rows.values()), tuple(alike(hosts).values()))
    columns = free.assigned(lambda node: node.sessions, lambda host: host.sessions)
    columns |= free.assigned(lambda node: node.load_us, lambda host: host.models)
    left = [column for same in free.columns for column in same]
    left.sort(key=lambda column: (not hosts[column].failed, -column))
    for row, node in enumerate(nodes):
        if row not in columns:
            few = left[-HOSTS_TRIED_MAX:]
            willing = (c for c in reversed(few) if node.sessions.isdisjoint(hosts[c].failed))
            columns[row] = next(willing, few[-1])
            left.remove(columns[row])
    return [columns[row] for row in range(len(nodes))]


@dataclass(frozen=True, slots=True)
class _Free:
    """Rows of nodes and columns of hosts not assigned yet, those together that are alike."""

    nodes: Sequence[Needs]
    hosts: Sequence[Host]
    rows: Sequence[deque[int]]
    columns: Sequence[deque[int]]

    def assigned(
        self,
        node_keys: Callable[[Needs], Iterable[str]],
        host_keys: Callable[[Host], Iterable[str]],
    ) -> dict[int, int]:
        """Assign rows to columns with a key in common, those that gain most first; both go."""
        found: dict[int, int] = {}
        for _, _, _, rows, columns in sorted(self._pairs(node_keys, host_keys), key=_by_gain):
            while rows and columns:
                found[rows.popleft()] = columns.popleft()
        return found

    def _pairs(
        self,
        node_keys: Callable[[Needs], Iterable[str]],
        host_keys: Callable[[Host], Iterable[str]],
    ) -> Iterator[_Pair]:
        index: dict[str, list[int]] = {}
        for number, columns in enumerate(self.columns):
            for key in host_keys(self.hosts[columns[0]]) if columns else ():
                index.setdefault(key, []).append(number)
        for rows in filter(None, self.rows):
            node = self.nodes[rows[0]]
            nowhere_us = node.cost_us(_NOWHERE)
            near = {
                number
                for key in node_keys(node)
                for number in islice(index.get(key, ()), HOSTS_TRIED_MAX)
            }
            for columns in (self.columns[number] for number in near):
                gain_us = nowhere_us - node.cost_us(self.hosts[columns[0]])
                if gain_us > 0:
                    yield -gain_us, rows[0], columns[0], rows, columns


def _by_gain(pair: _Pair) -> tuple[float, int, int]:
    return pair[:3]


_NOWHERE = Host(name="", device="")
