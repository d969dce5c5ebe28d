"""The scheduler's lease: held while it is renewed in time, given up before another can have it.

The lease lives in the store; this is what one process believes about it. A store that is away
cannot renew, so belief ends with the time to live, counted from before the last renewal was sent. A
store that was emptied grants the lease anew, and always under a greater number than before: readers
ignore what comes under a smaller one.
"""

from nexus.core.clock import Clock
from nexus.core.errors import UnavailableError
from nexus.core.units import US_PER_S
from nexus.store.cluster import ClusterStore

LEASE_TTL_US = 3 * US_PER_S
RENEW_US = US_PER_S


class Leadership:
    """``fence`` is the number of the lease held, or None."""

    def __init__(self, cluster: ClusterStore, holder: str, clock: Clock) -> None:
        """``holder`` must differ between any two processes, restarts included."""
        self.fence: int | None = None
        self._cluster = cluster
        self._holder = holder
        self._clock = clock
        self._renew_due_us = 0
        self._held_until_us = 0
        self._greatest = 0

    async def keep(self) -> int | None:
        """Renew the lease if it is time, or try to get it; return ``fence``.

        Raises:
            UnavailableError: the store is away; ``fence`` is None once the lease may have ended.
        """
        now_us = self._clock.now_us()
        if now_us < self._renew_due_us:
            return self.fence
        try:
            fence = await self._cluster.acquire_scheduler_lease(
                self._holder, LEASE_TTL_US, self._greatest
            )
        except UnavailableError:
            if self._clock.now_us() >= self._held_until_us:
                self.fence = None
            raise
        self.fence = fence
        self._greatest = max(self._greatest, fence or 0)
        self._renew_due_us = now_us + RENEW_US
        self._held_until_us = now_us + LEASE_TTL_US
        return fence

    def lost(self) -> None:
        """A newer leader was met: stop believing."""
        self.fence = None
        self._renew_due_us = self._clock.now_us() + RENEW_US

    async def release(self) -> None:
        """Give the lease up, so that a standby takes over at once."""
        if self.fence is not None:
            self.fence = None
            await self._cluster.release_scheduler_lease(self._holder)
