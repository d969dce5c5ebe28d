"""Giving planned nodes to live backends with the least movement of models.

Cost of a node on a backend: the load time of every model that is not resident there, and a little
for every session that is new to it. Nodes of a re-plan that kept their sessions therefore stay
where they are; the others are assigned at the least total cost, or nearly so where there are many.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from nexus.core.cluster import BackendStatus
from nexus.core.names import BackendName, DeviceType, ModelName, SessionName
from nexus.core.plan import BackendPlan
from nexus.scheduler.assignment import assign, assign_greedily, is_small
from nexus.scheduler.backend_plans import as_backend_plan
from nexus.scheduler.node import Node

LOAD_US_UNKNOWN = 1_000_000
"""Load time assumed where the profile does not say."""
SESSION_MOVE_US = 1_000
HOSTS_TRIED_MAX = 16
"""Of the backends that have a session or model, so many are looked at in a large assignment."""
FAILED_US = 3_600_000_000
"""A backend that could not load a session's model gets it again only if no other is left."""


@dataclass(frozen=True, slots=True)
class Host:
    """A live backend: what lies in its memory, what it serves, what it could not load."""

    name: BackendName
    device: DeviceType
    models: frozenset[ModelName] = frozenset()
    sessions: frozenset[SessionName] = frozenset()
    failed: frozenset[SessionName] = frozenset()


@dataclass(frozen=True, slots=True)
class Placed:
    """The nodes under their backends' names, and the load time that moving there costs."""

    backends: tuple[BackendPlan, ...]
    movement_us: float = 0.0


def hosts_of(
    statuses: Sequence[BackendStatus], previous: Sequence[BackendPlan]
) -> tuple[Host, ...]:
    """Live backends with what the last plan gave them and what they report as loaded.

    A spare has models, but serves nothing: a node stays where it is rather than move to one.
    """
    models: Mapping[SessionName, ModelName] = {
        placement.session: placement.model for plan in previous for placement in plan.placements
    }
    given = {
        plan.backend: frozenset(p.session for p in plan.placements if not p.spare)
        for plan in previous
    }
    hosts = []
    for status in statuses:
        sessions = frozenset(status.loaded) | given.get(status.backend, frozenset())
        hosts.append(
            Host(
                name=status.backend,
                device=status.device,
                models=frozenset(models[name] for name in sessions if name in models),
                sessions=given.get(status.backend, frozenset()),
                failed=frozenset(status.failed),
            )
        )
    return tuple(hosts)


def place(nodes: Sequence[Node], hosts: Sequence[Host]) -> Placed:
    """Name a backend for every node; there must be a host for each node of every device type."""
    backends: list[BackendPlan] = []
    movement_us = 0.0
    needs = {id(node): Needs.of(node) for node in nodes}
    plans = {key: as_backend_plan(need.node) for key, need in needs.items()}
    for device in dict.fromkeys(node.device.type for node in nodes):
        mine = [node for node in nodes if node.device.type == device]
        free = [host for host in hosts if host.device == device]
        assert len(mine) <= len(free), (len(mine), len(free))
        found = _placed([needs[id(node)] for node in mine], free)
        for node, host in zip(mine, found, strict=True):
            backends.append(replace(plans[id(node)], backend=host.name))
            movement_us += needs[id(node)].cost_us(host)
    return Placed(tuple(sorted(backends, key=lambda plan: plan.backend)), movement_us)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a node needs of its host. All members of a pool are the same node, and need the same."""

    node: Node
    load_us: Mapping[ModelName, int]
    sessions: frozenset[SessionName]

    @classmethod
    def of(cls, node: Node) -> "Needs":
        """The needs of a node; sessions that are batched together all count."""
        load_us: dict[ModelName, int] = {}
        sessions: set[SessionName] = set()
        for demand in node.demands:
            members = [part.session for part in demand.parts] or [demand.session]
            sessions.update(session.name for session in members)
            models = {session.model for session in members}
            each_us = (demand.profile.load_us or LOAD_US_UNKNOWN) // len(models)
            load_us.update(dict.fromkeys(models, each_us))
        return cls(node, load_us, frozenset(sessions))

    def cost_us(self, host: Host) -> float:
        """What the node costs there; see the module docstring."""
        if self.sessions == host.sessions and not host.failed:
            return 0.0
        cost_us: float = SESSION_MOVE_US * len(self.sessions - host.sessions)
        cost_us += FAILED_US * len(self.sessions & host.failed)
        models = host.models
        return cost_us + sum(us for model, us in self.load_us.items() if model not in models)


def _placed(nodes: Sequence[Needs], hosts: Sequence[Host]) -> list[Host]:
    """The host of each node."""
    found = _unmoved(nodes, hosts)
    taken = {host.name for host in found.values()}
    rows = [index for index in range(len(nodes)) if index not in found]
    free = [host for host in hosts if host.name not in taken]
    moving = [nodes[index] for index in rows]
    if is_small(len(rows), len(free)):
        columns = assign([[node.cost_us(host) for host in free] for node in moving])
    else:
        columns = _assigned_greedily(moving, free)
    found |= {index: free[column] for index, column in zip(rows, columns, strict=True)}
    return [found[index] for index in range(len(nodes))]


def _unmoved(nodes: Sequence[Needs], hosts: Sequence[Host]) -> dict[int, Host]:
    """The nodes whose very sessions a backend serves already; they cost nothing there."""
    serving: dict[frozenset[SessionName], list[Host]] = {}
    for host in reversed(hosts):
        if host.sessions:
            serving.setdefault(host.sessions, []).append(host)
    found = {}
    for index, node in enumerate(nodes):
        same = serving.get(node.sessions)
        if same and node.cost_us(same[-1]) == 0:
            found[index] = same.pop()
    return found


def _assigned_greedily(nodes: Sequence[Needs], hosts: Sequence[Host]) -> list[int]:
    """The host of each node: shared sessions first, then shared models, then whoever is left."""
    by_session = _index(enumerate(host.sessions for host in hosts))
    columns = _round(dict(enumerate(nodes)), hosts, by_session, lambda node: node.sessions)
    taken = set(columns.values())
    by_model = _index((c, host.models) for c, host in enumerate(hosts) if c not in taken)
    rest = {row: node for row, node in enumerate(nodes) if row not in columns}
    columns |= _round(rest, hosts, by_model, lambda node: node.load_us)
    taken = set(columns.values())
    left = [column for column in range(len(hosts)) if column not in taken]
    left.sort(key=lambda column: (not hosts[column].failed, -column))
    for row, node in enumerate(nodes):
        if row not in columns:
            few = left[-HOSTS_TRIED_MAX:]
            willing = (c for c in reversed(few) if node.sessions.isdisjoint(hosts[c].failed))
            columns[row] = next(willing, few[-1])
            left.remove(columns[row])
    return [columns[row] for row in range(len(nodes))]


def _round(
    nodes: Mapping[int, Needs],
    hosts: Sequence[Host],
    index: Mapping[str, Sequence[int]],
    keys: Callable[[Needs], Iterable[str]],
) -> dict[int, int]:
    """Assign the nodes, by row, to hosts that ``index`` finds under one of their keys."""
    pairs = []
    for row, node in nodes.items():
        near = {c for key in keys(node) for c in islice(index.get(key, ()), HOSTS_TRIED_MAX)}
        nowhere_us = node.cost_us(_NOWHERE)
        costs = ((node.cost_us(hosts[column]), column) for column in near)
        pairs += [(nowhere_us - cost, row, column) for cost, column in costs if cost < nowhere_us]
    return dict(assign_greedily(pairs))


def _index(entries: Iterable[tuple[int, Iterable[str]]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for column, keys in entries:
        for key in keys:
            found.setdefault(key, []).append(column)
    return found


_NOWHERE = Host(name="", device="")
