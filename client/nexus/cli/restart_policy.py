"""When a dead server of a local cluster is started again: a pure rule, driven by the supervisor."""

from dataclasses import dataclass

from nexus.core.units import US_PER_S

BACKOFF_FIRST_US = 200_000
BACKOFF_LIMIT_US = 10 * US_PER_S
STABLE_US = 30 * US_PER_S
"""A server that lived this long is taken for healthy: its next death starts the count anew."""


@dataclass(frozen=True, slots=True)
class Deaths:
    """How often in a row a server died young, and when it may be started again."""

    in_a_row: int = 0
    restart_at_us: int = 0


def after_death(deaths: Deaths, lived_us: int, now_us: int) -> Deaths:
    """The state after one more death: the wait doubles with each early death, up to a limit."""
    in_a_row = 1 if lived_us >= STABLE_US else deaths.in_a_row + 1
    backoff_us = min(BACKOFF_FIRST_US << min(in_a_row - 1, 16), BACKOFF_LIMIT_US)
    return Deaths(in_a_row, now_us + backoff_us)
