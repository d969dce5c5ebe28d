"""Giving planned nodes to live backends with the least movement of models.

Cost of a node on a backend: the load time of every model that is not resident there, and a little
for every session that is new to it. Nodes of a re-plan that kept their sessions therefore stay
where they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nexus.core.cluster import BackendStatus
from nexus.core.names import BackendName, DeviceType, ModelName, SessionName
from nexus.core.plan import BackendPlan
from nexus.scheduler.assignment import assign
from nexus.scheduler.packing import Node, as_backend_plan

LOAD_US_UNKNOWN = 1_000_000
"""Load time assumed where the profile does not say."""
SESSION_MOVE_US = 1_000
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
    """Live backends with what the last plan gave them and what they report as loaded."""
    models: Mapping[SessionName, ModelName] = {
        placement.session: placement.model for plan in previous for placement in plan.placements
    }
    given = {
        plan.backend: frozenset(placement.session for placement in plan.placements)
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
    for device in dict.fromkeys(node.device.type for node in nodes):
        mine = [node for node in nodes if node.device.type == device]
        free = [host for host in hosts if host.device == device]
        costs = [[_cost_us(node, host) for host in free] for node in mine]
        for index, column in enumerate(assign(costs)):
            backends.append(as_backend_plan(mine[index], free[column].name))
            movement_us += costs[index][column]
    return Placed(tuple(sorted(backends, key=lambda plan: plan.backend)), movement_us)


def _cost_us(node: Node, host: Host) -> float:
    cost_us = 0.0
    for demand in node.demands:
        if demand.session.model not in host.models:
            cost_us += demand.profile.load_us or LOAD_US_UNKNOWN
        if demand.name not in host.sessions:
            cost_us += SESSION_MOVE_US
        if demand.name in host.failed:
            cost_us += FAILED_US
    return cost_us
