"""A Store on a Redis (or Valkey) server: the one place that imports ``redis``."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import RedisError

from nexus.core.errors import FencedError, InvalidArgumentError, UnavailableError
from nexus.core.units import US_PER_MS
from nexus.store import redis_scripts
from nexus.store.address import shown_url
from nexus.store.limits import fenced_message, require_key_count, require_value_size
from nexus.store.redis_subscription import RedisSubscription

CONNECT_TIMEOUT_S = 1.0
CALL_TIMEOUT_S = 2.0
"""One call, its retries included; then UnavailableError."""
RETRIES_MAX = 4
RETRY_FIRST_S = 0.02
RETRY_MAX_S = 0.5
CONNECTIONS_MAX = 16
SCAN_PAGE = 500

T = TypeVar("T")


class RedisStore:
    """See Store. Calls retry over a lost connection for at most CALL_TIMEOUT_S."""

    def __init__(self, url: str) -> None:
        """Take ``redis://``, ``rediss://`` or ``unix://``; connects at the first call."""
        self.shown_url = shown_url(url)
        back_off = ExponentialBackoff(cap=RETRY_MAX_S, base=RETRY_FIRST_S)
        self._client = self._connect(url, Retry(back_off, RETRIES_MAX))
        # A subscription must learn of a lost connection, so its client does not hide one.
        self._listening_client = self._connect(url, Retry(NoBackoff(), 0))
        self._subscriptions: list[RedisSubscription] = []
        self._put_counted = self._client.register_script(redis_scripts.PUT_COUNTED)
        self._delete_counted = self._client.register_script(redis_scripts.DELETE_COUNTED)
        self._put_fenced = self._client.register_script(redis_scripts.PUT_FENCED)
        self._acquire_lease = self._client.register_script(redis_scripts.ACQUIRE_LEASE)
        self._release_lease = self._client.register_script(redis_scripts.RELEASE_LEASE)

    async def get(self, key: str) -> bytes | None:
        """See Store."""
        return cast("bytes | None", await self._call(lambda: self._client.get(key)))

    async def put(
        self, key: str, value: bytes, *, ttl_us: int | None = None, counter: str = ""
    ) -> None:
        """See Store."""
        require_value_size(key, value)
        ttl_ms = None if ttl_us is None else _milliseconds(ttl_us)
        if counter:
            arguments = (value, ttl_ms or 0)
            await self._call(lambda: self._put_counted(keys=(key, counter), args=arguments))
        else:
            await self._call(lambda: self._client.set(key, value, px=ttl_ms))

    async def put_fenced(self, key: str, value: bytes, fence: int) -> None:
        """See Store."""
        require_value_size(key, value)
        keys = (key, f"fence:{key}")
        greatest = int(await self._call(lambda: self._put_fenced(keys=keys, args=(value, fence))))
        if greatest > fence:
            raise FencedError(fenced_message(key, fence, greatest))

    async def delete(self, key: str, *, counter: str = "") -> bool:
        """See Store."""
        if counter:
            removed = await self._call(lambda: self._delete_counted(keys=(key, counter)))
        else:
            removed = await self._call(lambda: self._client.delete(key))
        return bool(removed)

    async def scan(self, prefix: str) -> dict[str, bytes]:
        """See Store. SCAN and MGET in pages, so the server is never held for long."""
        found: dict[str, bytes] = {}
        pattern = _escape_glob(prefix) + "*"
        cursor = 0
        while True:
            scan = partial(self._client.scan, cursor, match=pattern, count=SCAN_PAGE)
            cursor, page = await self._call(scan)
            found.update(await self._read_page(page))
            require_key_count(prefix, len(found))
            if cursor == 0:
                return dict(sorted(found.items()))

    async def acquire_lease(
        self, name: str, holder: str, ttl_us: int, above: int = 0
    ) -> int | None:
        """See Store."""
        keys = (name, f"number:{name}")
        arguments = (holder, _milliseconds(ttl_us), above)
        number = await self._call(lambda: self._acquire_lease(keys=keys, args=arguments))
        return None if number is None else int(number)

    async def release_lease(self, name: str, holder: str) -> None:
        """See Store."""
        await self._call(lambda: self._release_lease(keys=(name,), args=(holder,)))

    async def notify(self, channel: str) -> None:
        """See Store."""
        await self._call(lambda: self._client.publish(channel, b""))

    def subscribe(self, *channels: str) -> RedisSubscription:
        """See Store."""
        subscription = RedisSubscription(self._listening_client, self.shown_url, channels)
        self._subscriptions.append(subscription)
        return subscription

    async def close(self) -> None:
        """See Store."""
        for subscription in self._subscriptions:
            await subscription.close()
        self._subscriptions.clear()
        await self._client.aclose()
        await self._listening_client.aclose()

    def _connect(self, url: str, retry: Retry) -> Redis:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                retry=retry,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                socket_timeout=CALL_TIMEOUT_S,
                max_connections=CONNECTIONS_MAX,
                timeout=CALL_TIMEOUT_S,
            )
        except ValueError as error:
            raise InvalidArgumentError(
                f"store URL {self.shown_url!r} is not valid: {error}", reason="invalid_store_url"
            ) from error
        return Redis.from_pool(pool)

    async def _call(self, command: Callable[[], Awaitable[Any]]) -> Any:
        cancellations = _cancellations()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await command()
        except (RedisError, OSError, TimeoutError) as error:
            raise UnavailableError(
                f"the store at {self.shown_url} did not answer: {str(error) or 'timeout'}; "
                "check that it runs and that --store names it",
                reason="store_unavailable",
            ) from error
        if _cancellations() > cancellations:
            # The client library swallows a cancellation that arrives with the reply: a loop of
            # calls cancelled once, at shutdown, would go on for ever.
            raise asyncio.CancelledError
        return answer

    async def _read_page(self, keys: list[bytes]) -> dict[str, bytes]:
        if not keys:
            return {}
        values = await self._call(lambda: self._client.mget(keys))
        pairs = zip(keys, values, strict=True)
        # A key that expired between SCAN and MGET has no value; one that is no string neither.
        return {key.decode(): value for key, value in pairs if value is not None}


def _cancellations() -> int:
    current = asyncio.current_task()
    return current.cancelling() if current is not None else 0


def _milliseconds(duration_us: int) -> int:
    """Round up: a lease or a report must not expire before its time."""
    assert duration_us > 0, duration_us
    return math.ceil(duration_us / US_PER_MS)


def _escape_glob(prefix: str) -> str:
    return "".join(f"\\{letter}" if letter in "*?[]\\^" else letter for letter in prefix)
