"""Keeps a frontend in step with the store: table, catalogue and other frontends in, its report out.

Notifications only shorten the wait; polling is the fallback. While the store is away, nothing
changes: the last table stays in use (ARCHITECTURE.md, section 2).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nexus.core.cluster import FrontendReport
from nexus.core.errors import NexusError
from nexus.core.units import s_from_us, us_from_s
from nexus.frontend.limits import LOST_REPORT_US
from nexus.store.base import Subscription
from nexus.store.cluster import ClusterStore

POLL_S = 1.0
REPORT_S = 1.0

_log = logging.getLogger(__name__)


class ClusterFeed:
    """Three readers and a reporter."""

    def __init__(
        self,
        store: ClusterStore,
        read_table: Callable[[], Awaitable[None]],
        read_catalogue: Callable[[], Awaitable[None]],
        read_frontends: Callable[[], Awaitable[None]],
        report: Callable[[], FrontendReport],
    ) -> None:
        """``read_…`` fetch from the store and apply; they may raise a NexusError."""
        self._store_up: bool | None = None
        self._store = store
        self._read_table = read_table
        self._read_catalogue = read_catalogue
        self._read_frontends = read_frontends
        self._report = report
        self._subscriptions: list[Subscription] = []
        self._loops: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    @property
    def store_up(self) -> bool:
        """Whether the last call to the store succeeded."""
        return self._store_up is True

    def start(self) -> None:
        """Begin; call it on the event loop."""
        table = self._store.subscribe_table()
        catalogue = self._store.subscribe_catalogue()
        self._subscriptions = [table, catalogue]
        self._loops = [
            asyncio.create_task(self._follow(self._read_table, table), name="table"),
            asyncio.create_task(self._follow(self._read_catalogue, catalogue), name="catalogue"),
            asyncio.create_task(self._poll(self._read_frontends), name="frontends"),
            asyncio.create_task(self._report_regularly(), name="report"),
        ]

    async def close(self) -> None:
        """Stop reading and reporting."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for subscription in self._subscriptions:
            await subscription.close()

    async def report_now(self) -> None:
        """Write the report at once: a newer table in use lets the scheduler go on."""
        await self._attempt(self._write_report)

    def report_soon(self) -> None:
        """Something that the scheduler waits for has changed.

        A lost backend may be back, and a connection be followed by others, before that is said.
        """
        self._news.set()

    async def _follow(self, read: Callable[[], Awaitable[None]], changes: Subscription) -> None:
        while True:
            await self._attempt(read)
            await changes.wait(us_from_s(POLL_S))

    async def _poll(self, read: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(read)
            await asyncio.sleep(POLL_S)

    async def _report_regularly(self) -> None:
        while True:
            await self.report_now()
            try:
                async with asyncio.timeout(REPORT_S):
                    await self._news.wait()
                    await asyncio.sleep(s_from_us(LOST_REPORT_US))
            except TimeoutError:
                continue
            self._news.clear()

    async def _write_report(self) -> None:
        await self._store.report_frontend(self._report())

    async def _attempt(self, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await call()
        except NexusError as error:
            # Said once an outage, not once a second.
            if self._store_up is not False:
                _log.warning("store away, going on", extra={"error": error.message})
            self._store_up = False
            return
        except Exception:  # noqa: BLE001 - a defect in applying one state must not stop the next
            _log.exception("state not applied")
            return
        if not self._store_up:
            _log.info("store reached")
        self._store_up = True
