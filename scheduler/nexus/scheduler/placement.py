"""Giving planned nodes to live backends with the least movement of models.

Cost of a node on a backend: the load time of every model that is not resident there, and a little
for every session that is new to it (needs.py). Nodes of a re-plan that kept their sessions
therefore stay where they are; the others are assigned at the least total cost, or nearly so where
there are many.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from nexus.core.names import SessionName
from nexus.core.plan import BackendPlan
from nexus.scheduler.assignment import assign, is_small
from nexus.scheduler.backend_plans import as_backend_plan
from nexus.scheduler.collection import collection_deferred
from nexus.scheduler.hosts import Host, alike
from nexus.scheduler.needs import Needs, assigned_greedily
from nexus.scheduler.node import Node


@dataclass(frozen=True, slots=True)
class Placed:
    """The nodes under their backends' names, and the load time that moving there costs."""

    backends: tuple[BackendPlan, ...]
    movement_us: float = 0.0


@collection_deferred()
def place(nodes: Sequence[Node], hosts: Sequence[Host]) -> Placed:
    """Name a backend for every node; there must be a host for each node of every device type."""
    backends: list[BackendPlan] = []
    movement_us = 0.0
    different = {id(node): node for node in nodes}
    needs = {key: Needs.of(node) for key, node in different.items()}
    plans: dict[int, BackendPlan] = {}
    for device in dict.fromkeys(node.device.type for node in nodes):
        mine = [node for node in nodes if node.device.type == device]
        free = [host for host in hosts if host.device == device]
        assert len(mine) <= len(free), (len(mine), len(free))
        found = _placed([needs[id(node)] for node in mine], free)
        for node, host in zip(mine, found, strict=True):
            key = id(node)
            same = plans.get(key)
            plan = as_backend_plan(node, host.name) if same is None else _on(host, same)
            plans[key] = plan
            backends.append(plan)
            movement_us += needs[key].cost_us(host)
    return Placed(tuple(sorted(backends, key=lambda plan: plan.backend)), movement_us)


def _on(host: Host, plan: BackendPlan) -> BackendPlan:
    """The plan of another member of the pool; all have the very same placements."""
    return replace(plan, backend=host.name)


def _placed(nodes: Sequence[Needs], hosts: Sequence[Host]) -> list[Host]:
    """The host of each node."""
    found = _unmoved(nodes, hosts)
    taken = {host.name for host in found.values()}
    rows = [index for index in range(len(nodes)) if index not in found]
    left = [host for host in hosts if host.name not in taken]
    # Of backends that are alike no more are looked at than there are nodes to move.
    free = [left[c] for same in alike(left).values() for c in islice(same, len(rows))]
    moving = [nodes[index] for index in rows]
    if is_small(len(rows), len(free)):
        columns = assign([[node.cost_us(host) for host in free] for node in moving])
    else:
        columns = assigned_greedily(moving, free)
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
