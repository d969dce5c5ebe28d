"""Panels and rows as plain data: what is asked of Prometheus, and how it is read."""

from dataclasses import dataclass
from enum import Enum

SESSION = 'session=~"$session"'
QUERY = 'query=~"$session"'
INSTANCE = 'instance=~"$instance"'


class Look(Enum):
    """How a panel draws its series."""

    LINES = "lines"
    HEATMAP = "heatmap"


class Unit(Enum):
    """Grafana's names of the units in use."""

    RATIO = "percentunit"
    SECONDS = "s"
    PER_SECOND = "reqps"
    ITEMS_PER_SECOND = "ops"
    BYTES = "bytes"
    COUNT = "short"
    VERSION = "none"


@dataclass(frozen=True, slots=True)
class Series:
    """One query of a panel; ``legend`` is Grafana's format, with ``{{label}}``."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """``description`` says what to look for, and what it means when it is bad.

    ``target`` draws a line at what should be held: above it is bad, or below it if ``at_least``.
    """

    title: str
    description: str
    unit: Unit
    series: tuple[Series, ...]
    look: Look = Look.LINES
    target: float | None = None
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A titled group of panels, three beside each other."""

    title: str
    panels: tuple[Panel, ...]
