"""Whether an absence can be believed yet: a process that is gone, or one yet to report.

Reports live in the store for a few seconds only. After an outage of the store, or when a whole
cluster was down, the first look finds few of them or none, though everybody serves. A leader that
believed it would withdraw routes that work, so it waits until it has watched for as long as a
report lives. Absences are believed at once by a scheduler that has watched for longer: they then
mean that reports have stopped.
"""

from nexus.core.cluster import BackendStatus, FrontendReport
from nexus.core.routing import RoutingTable

GAP_US = 2_000_000
"""Looks come each second: after a longer gap watching begins anew."""


class Watch:
    """How long the cluster has been looked at without a gap."""

    def __init__(self, settle_us: int) -> None:
        """``settle_us`` is how long everybody has to report in."""
        self._settle_us = settle_us
        self._since_us: int | None = None
        self._last_us = 0

    def look(self, now_us: int) -> None:
        """The cluster was looked at."""
        if self._since_us is None or now_us - self._last_us > GAP_US:
            self._since_us = now_us
        self._last_us = now_us

    def settled(self, now_us: int) -> bool:
        """Whether everybody has had the time to report."""
        return self._since_us is not None and now_us - self._since_us >= self._settle_us


def missing(
    table: RoutingTable,
    backends: tuple[BackendStatus, ...],
    frontends: tuple[FrontendReport, ...],
) -> bool:
    """Whether a backend that the table routes to, or every frontend, has no report."""
    routed = {route.backend for session in table.sessions for route in session.routes}
    routed |= {member.backend for pool in table.pools for member in pool.members}
    reported = {status.backend for status in backends}
    return bool(routed) and (not routed <= reported or not frontends)
