"""Whether an absence can be believed yet: a process that is gone, or one yet to report.

Reports live in the store for a few seconds only. After an outage of the store, right after it was
emptied, or when a whole cluster was down, a look finds few of them or none, though everybody
serves. A leader that believed it would withdraw routes that work, so it waits until it has watched
for as long as a report lives. Absences are believed at once by a scheduler that has watched for
longer: they then mean that reports have stopped.
"""

from nexus.core.cluster import BackendStatus, FrontendReport
from nexus.core.names import BackendName
from nexus.core.routing import RoutingTable, backends_of

UNREACHABLE_US = 5_000_000
"""A backend that nobody can reach is counted as gone for so long: its status outlives it by 3 s."""
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

    def restart(self) -> None:
        """What was seen last is no news of anybody: the store was emptied."""
        self._since_us = None

    def settled(self, now_us: int) -> bool:
        """Whether everybody has had the time to report."""
        return self._since_us is not None and now_us - self._since_us >= self._settle_us


def missing(
    table: RoutingTable,
    backends: tuple[BackendStatus, ...],
    frontends: tuple[FrontendReport, ...],
) -> bool:
    """Whether a backend that the table routes to, or every frontend, has no report."""
    routed = backends_of(table)
    reported = {status.backend for status in backends}
    return bool(routed) and (not routed <= reported or not frontends)


class Unreachable:
    """Backends that report, or did a moment ago, but that no frontend can reach.

    A dead backend's connections close at once, its status expires after seconds. What is believed
    is the word of all frontends together; and not if they have lost all of several backends: then
    it is they who are cut off.
    """

    def __init__(self) -> None:
        """Everybody is reachable."""
        self._until_us: dict[tuple[BackendName, int], int] = {}

    def among(
        self,
        table: RoutingTable,
        backends: tuple[BackendStatus, ...],
        frontends: tuple[FrontendReport, ...],
        now_us: int,
    ) -> tuple[BackendStatus, ...]:
        """The backends that can be reached, as far as anybody knows."""
        self._until_us = {life: us for life, us in self._until_us.items() if us > now_us}
        routed = backends_of(table)
        lost = routed.intersection(*(report.lost for report in frontends)) if frontends else set()
        if lost != routed or len(routed) == 1:
            for status in backends:
                if status.backend in lost:
                    life = (status.backend, status.incarnation)
                    self._until_us.setdefault(life, now_us + UNREACHABLE_US)
        return tuple(
            status
            for status in backends
            if (status.backend, status.incarnation) not in self._until_us
        )
