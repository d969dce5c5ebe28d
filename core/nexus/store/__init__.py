"""The cluster's shared state: memory or a Redis server behind one protocol."""

from nexus.core.clock import MonotonicClock
from nexus.core.errors import InvalidArgumentError
from nexus.store.address import shown_url
from nexus.store.base import Store, Subscription
from nexus.store.memory import MemoryStore

__all__ = ["MemoryStore", "Store", "Subscription", "open_store"]

_REDIS_SCHEMES = ("redis", "rediss", "unix")


def open_store(url: str) -> Store:
    """The store that ``url`` names: ``memory://`` (private to the caller) or ``redis://HOST:PORT``.

    It does not connect yet: the first call does. Raise InvalidArgumentError on any other URL.
    """
    scheme = url.partition("://")[0]
    if scheme == "memory":
        return MemoryStore(MonotonicClock())
    if scheme in _REDIS_SCHEMES:
        # Imported late: a client or a tool without a Redis store does not need the redis package.
        from nexus.store.redis_store import RedisStore  # noqa: PLC0415

        return RedisStore(url)
    raise InvalidArgumentError(
        f"store URL {shown_url(url)!r} is not one of memory://, redis://HOST:PORT, "
        "rediss://HOST:PORT, unix://PATH",
        reason="invalid_store_url",
    )
