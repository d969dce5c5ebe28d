"""Events and effects of the scheduler engine (ARCHITECTURE.md section 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.cluster import BackendStatus, Catalogue, FrontendReport
from nexus.core.names import DeviceType
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable


@dataclass(frozen=True, slots=True)
class Observed:
    """The whole of declared and observed state, each second and when something changes."""

    catalogue: Catalogue
    backends: tuple[BackendStatus, ...]
    frontends: tuple[FrontendReport, ...]


@dataclass(frozen=True, slots=True)
class LeaseGained:
    """This scheduler leads now; ``plan`` and ``table`` are what the last leader published."""

    fence: int
    plan: Plan
    table: RoutingTable


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Another scheduler leads: watch, and do nothing."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event: TypeAlias = Observed | LeaseGained | LeaseLost | Tick


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """Replace the published plan."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class PublishTable:
    """Replace the published routing table."""

    table: RoutingTable


@dataclass(frozen=True, slots=True)
class Scale:
    """How many devices of each type the load asks for; sent when the numbers change."""

    devices: Mapping[DeviceType, int]


Effect: TypeAlias = PublishPlan | PublishTable | Scale
