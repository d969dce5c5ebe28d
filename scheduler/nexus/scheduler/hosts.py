"""Hosts: the live backends that planned nodes can be given to, and what each has already."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.cluster import BackendStatus
from nexus.core.names import BackendName, DeviceType, ModelName, SessionName
from nexus.core.plan import BackendPlan

Contents: TypeAlias = tuple[frozenset[SessionName], frozenset[ModelName], frozenset[SessionName]]
"""What makes a host differ from others: what it serves, has in memory, and could not load."""


@dataclass(frozen=True, slots=True)
class Host:
    """A live backend: what lies in its memory, what it serves, what it could not load."""

    name: BackendName
    device: DeviceType
    models: frozenset[ModelName] = frozenset()
    sessions: frozenset[SessionName] = frozenset()
    failed: frozenset[SessionName] = frozenset()


def hosts_of(
    statuses: Sequence[BackendStatus], previous: Sequence[BackendPlan]
) -> tuple[Host, ...]:
    """Live backends with what the last plan gave them and what they report as loaded.

    A spare has models, but serves nothing: a node stays where it is rather than move to one.
    """
    # The members of a pool share one tuple of placements.
    different = {id(plan.placements): plan.placements for plan in previous}
    models: dict[SessionName, ModelName] = {}
    served: dict[int, tuple[frozenset[SessionName], frozenset[ModelName]]] = {}
    for key, placements in different.items():
        models.update((placement.session, placement.model) for placement in placements)
        serving = [placement for placement in placements if not placement.spare]
        served[key] = (
            frozenset([placement.session for placement in serving]),
            frozenset([placement.model for placement in serving]),
        )
    given = {plan.backend: served[id(plan.placements)] for plan in previous}
    return tuple(_host(status, *given.get(status.backend, _NOTHING), models) for status in statuses)


def _host(
    status: BackendStatus,
    sessions: frozenset[SessionName],
    resident: frozenset[ModelName],
    models: Mapping[SessionName, ModelName],
) -> Host:
    """A backend that was given ``sessions``, whose models are ``resident``, and reports more."""
    if not sessions.issuperset(status.loaded):
        loaded = (models[name] for name in status.loaded if name in models)
        resident = resident.union(loaded)
    return Host(
        name=status.backend,
        device=status.device,
        models=resident,
        sessions=sessions,
        failed=frozenset(status.failed),
    )


def alike(hosts: Iterable[Host]) -> dict[Contents, deque[int]]:
    """The places of hosts at which every node costs the same: members of a pool, idle ones."""
    found: dict[Contents, deque[int]] = {}
    for column, host in enumerate(hosts):
        contents = (host.sessions, host.models, host.failed)
        found.setdefault(contents, deque()).append(column)
    return found


_NOTHING: tuple[frozenset[SessionName], frozenset[ModelName]] = (frozenset(), frozenset())
