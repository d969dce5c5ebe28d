"""Keeps a backend in step with the store: its plan in, its status out.

Notifications only shorten the wait; polling is the fallback. While the store is away nothing
changes: the last plan stays in use (ARCHITECTURE.md, section 2).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from nexus.core.catalogue_doubt import CatalogueDoubt
from nexus.core.clock import Clock
from nexus.core.cluster import BackendStatus, Catalogue
from nexus.core.errors import NexusError
from nexus.core.plan import Plan
from nexus.core.units import us_from_s
from nexus.store.base import Subscription
from nexus.store.cluster import ClusterStore

POLL_S = 2.0
REPORT_S = 1.0
CANCEL_AGAIN_S = 0.1

logger = logging.getLogger(__name__)


class StoreLink:
    """Two readers and a reporter. ``up``: whether the last call to the store succeeded."""

    def __init__(
        self,
        cluster: ClusterStore,
        take: Callable[[Plan, Catalogue], None],
        status: Callable[[], BackendStatus],
        clock: Clock,
    ) -> None:
        """``take`` is called whenever the plan or the catalogue is another than before."""
        self.up = False
        self._cluster = cluster
        self._take = take
        self._status = status
        self._clock = clock
        self._declared = CatalogueDoubt()
        self._seen: tuple[int, int, int] | None = None
        self._changed = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; call it on the event loop."""
        self._subscriptions = [self._cluster.subscribe_plan(), self._cluster.subscribe_catalogue()]
        self._loops = [asyncio.create_task(self._follow(one)) for one in self._subscriptions]
        self._loops.append(asyncio.create_task(self._report_regularly()))

    def report_soon(self) -> None:
        """The status has changed in a way others wait for."""
        self._changed.set()

    async def report(self) -> None:
        """Write the status now."""
        await self._attempt(self._write_status)

    async def close(self) -> None:
        """Stop reading and reporting, and leave the cluster."""
        ending = set(self._loops)
        while ending:
            # Again and again: redis-py swallows a cancellation that comes together with a reply.
            for loop in ending:
                loop.cancel()
            _, ending = await asyncio.wait(ending, timeout=CANCEL_AGAIN_S)
        for subscription in self._subscriptions:
            await subscription.close()
        await self._attempt(self._forget)

    async def _follow(self, changes: Subscription) -> None:
        while True:
            await self._attempt(self._read)
            await changes.wait(us_from_s(POLL_S))

    async def _read(self) -> None:
        # The catalogue second: a plan may name what was declared just before it was made.
        plan = await self._cluster.plan()
        read = await self._cluster.catalogue()
        catalogue = self._declared.believed(read, self._clock.now_us())
        seen = (plan.fence, plan.version, catalogue.version)
        if seen != self._seen:
            self._seen = seen
            self._take(plan, catalogue)

    async def _report_regularly(self) -> None:
        while True:
            self._changed.clear()
            await self.report()
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_S):
                    await self._changed.wait()

    async def _write_status(self) -> None:
        await self._cluster.report_backend(self._status())

    async def _forget(self) -> None:
        await self._cluster.forget_backend(self._status().backend)

    async def _attempt(self, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except NexusError as error:
            if self.up:  # Said once an outage, not once a second.
                logger.warning("store away, going on", extra={"error": error.message})
            self.up = False
        except Exception:  # a defect in taking one state must not stop the next
            logger.exception("state not taken")
        else:
            self.up = True
