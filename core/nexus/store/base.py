"""The Store protocol: small values under keys, leases with fencing numbers, and notifications.

It holds the control plane's shared state and nothing of the data plane. A value is always whole:
readers replace what they had. A notification carries nothing and may be lost; it only shortens the
wait before the next poll, so losing one costs time and never correctness.
"""

from typing import Protocol

VALUE_BYTES_MAX = 16 * 1024 * 1024
"""A larger value is refused with MessageTooLargeError, reason ``value_too_large``."""

SCAN_KEYS_MAX = 100_000
"""A scan that meets more keys raises FailedPreconditionError, reason ``too_many_keys``."""


class Subscription(Protocol):
    """Wakes a reader when one of its channels is notified."""

    async def wait(self, timeout_us: int) -> bool:
        """Return True on a notification since the last call, False after ``timeout_us`` without.

        Notifications fold: any number of them between two calls wakes the reader once. After a
        connection was lost and made again it returns True, for one may have been missed meanwhile.
        It never raises because the store is away: the timeout is the polling fallback.
        """
        ...

    async def close(self) -> None:
        """Stop listening. A pending ``wait`` runs into its timeout."""
        ...


class Store(Protocol):
    """What every backing store does, in memory or on a Redis server.

    Every method raises UnavailableError, naming the store, when it cannot be reached in time.
    """

    async def get(self, key: str) -> bytes | None:
        """The value of ``key``; None when there is none or it has expired."""
        ...

    async def put(
        self, key: str, value: bytes, *, ttl_us: int | None = None, counter: str = ""
    ) -> None:
        """Write ``value``, which expires after ``ttl_us`` if given.

        ``counter`` names a key that grows by at least one in the same atomic step, so that a reader
        may poll one small key instead of a whole prefix.
        """
        ...

    async def put_fenced(self, key: str, value: bytes, fence: int) -> None:
        """Write ``value`` unless a greater fence has written this key; then raise FencedError."""
        ...

    async def delete(self, key: str, *, counter: str = "") -> bool:
        """Remove ``key`` and say whether it was there; ``counter`` as in ``put``."""
        ...

    async def scan(self, prefix: str) -> dict[str, bytes]:
        """All live keys that begin with ``prefix``, with their values, sorted by key."""
        ...

    async def acquire_lease(
        self, name: str, holder: str, ttl_us: int, above: int = 0
    ) -> int | None:
        """Take or renew the lease ``name`` for ``ttl_us``; return its fencing number.

        The number grows with every new holding, and also across the loss of the store's data. The
        same holder renews and keeps its number; None says that another holds the lease. A new
        number is greater than ``above``, whatever became of the store's data and clock: whoever
        held the lease before knows how far the numbers had come.
        """
        ...

    async def release_lease(self, name: str, holder: str) -> None:
        """Give the lease up, if ``holder`` has it; its number stays used."""
        ...

    async def notify(self, channel: str) -> None:
        """Wake everyone subscribed to ``channel``."""
        ...

    def subscribe(self, *channels: str) -> Subscription:
        """Listen to ``channels``; call it in a running event loop, and close what it returns."""
        ...

    async def close(self) -> None:
        """Close connections and subscriptions; the store is not usable afterwards."""
        ...
