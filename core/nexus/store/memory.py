"""A Store in this process's memory: for tests, the simulator and single-process clusters.

Hand the same object to all who share it. It has no threads: use it from one event loop.
"""

import asyncio
from dataclasses import dataclass

from nexus.core.clock import Clock
from nexus.core.errors import FencedError
from nexus.core.units import s_from_us
from nexus.store.limits import fenced_message, require_key_count, require_value_size


@dataclass(frozen=True, slots=True)
class _Entry:
    value: bytes
    expires_us: int | None = None


@dataclass(frozen=True, slots=True)
class _Lease:
    holder: str
    number: int
    expires_us: int


class MemorySubscription:
    """Wakes its reader when ``MemoryStore.notify`` names one of its channels."""

    def __init__(self, store: "MemoryStore", channels: frozenset[str]) -> None:
        """Made by ``MemoryStore.subscribe``."""
        self.channels = channels
        self._store = store
        self._notified = asyncio.Event()

    def wake(self) -> None:
        """Let the pending or the next ``wait`` return True."""
        self._notified.set()

    async def wait(self, timeout_us: int) -> bool:
        """See Subscription."""
        try:
            async with asyncio.timeout(s_from_us(timeout_us)):
                await self._notified.wait()
        except TimeoutError:
            return False
        self._notified.clear()
        return True

    async def close(self) -> None:
        """See Subscription."""
        self._store.forget(self)


class MemoryStore:
    """See Store. Expiry follows ``clock``, so that tests and the simulator move time by hand."""

    def __init__(self, clock: Clock) -> None:
        """Start empty."""
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._fences: dict[str, int] = {}
        self._leases: dict[str, _Lease] = {}
        self._lease_numbers: dict[str, int] = {}
        self._subscriptions: set[MemorySubscription] = set()

    async def get(self, key: str) -> bytes | None:
        """See Store."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and self._is_live(entry) else None

    async def put(
        self, key: str, value: bytes, *, ttl_us: int | None = None, counter: str = ""
    ) -> None:
        """See Store."""
        require_value_size(key, value)
        expires_us = None if ttl_us is None else self._clock.now_us() + ttl_us
        self._entries[key] = _Entry(value, expires_us)
        self._count(counter)

    async def put_fenced(self, key: str, value: bytes, fence: int) -> None:
        """See Store."""
        require_value_size(key, value)
        greatest = self._fences.get(key, fence)
        if greatest > fence:
            raise FencedError(fenced_message(key, fence, greatest))
        self._fences[key] = fence
        self._entries[key] = _Entry(value)

    async def delete(self, key: str, *, counter: str = "") -> bool:
        """See Store."""
        entry = self._entries.pop(key, None)
        self._count(counter)
        return entry is not None and self._is_live(entry)

    async def scan(self, prefix: str) -> dict[str, bytes]:
        """See Store. Expired entries are dropped here, so memory stays bounded."""
        self._entries = {key: entry for key, entry in self._entries.items() if self._is_live(entry)}
        keys = sorted(key for key in self._entries if key.startswith(prefix))
        require_key_count(prefix, len(keys))
        return {key: self._entries[key].value for key in keys}

    async def acquire_lease(
        self, name: str, holder: str, ttl_us: int, above: int = 0
    ) -> int | None:
        """See Store."""
        now_us = self._clock.now_us()
        lease = self._leases.get(name)
        if lease is not None and lease.expires_us > now_us:
            if lease.holder != holder:
                return None
            number = lease.number
        else:
            number = max(self._lease_numbers.get(name, 0), above) + 1
            self._lease_numbers[name] = number
        self._leases[name] = _Lease(holder, number, now_us + ttl_us)
        return number

    async def release_lease(self, name: str, holder: str) -> None:
        """See Store."""
        lease = self._leases.get(name)
        if lease is not None and lease.holder == holder:
            del self._leases[name]

    async def notify(self, channel: str) -> None:
        """See Store."""
        for subscription in self._subscriptions:
            if channel in subscription.channels:
                subscription.wake()

    def subscribe(self, *channels: str) -> MemorySubscription:
        """See Store."""
        subscription = MemorySubscription(self, frozenset(channels))
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: MemorySubscription) -> None:
        """Stop waking ``subscription``."""
        self._subscriptions.discard(subscription)

    async def close(self) -> None:
        """See Store."""
        self._subscriptions.clear()

    def _is_live(self, entry: _Entry) -> bool:
        return entry.expires_us is None or entry.expires_us > self._clock.now_us()

    def _count(self, counter: str) -> None:
        if counter:
            entry = self._entries.get(counter)
            count = 0 if entry is None else int(entry.value)
            self._entries[counter] = _Entry(str(count + 1).encode())
