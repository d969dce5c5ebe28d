"""A Subscription over Redis pub/sub that outlives its connection.

It keeps one connection of its own and makes it again for ever, with bounded back-off. Each time it
is connected the reader is woken once, since a notification may have been lost before.
"""

import asyncio
import contextlib
import logging

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from nexus.core.units import s_from_us

BACK_OFF_FIRST_S = 0.05
BACK_OFF_MAX_S = 1.0
IDLE_S = 5.0
"""After so long without a word from the server it is pinged; after twice as long it is dead."""

_log = logging.getLogger(__name__)


class RedisSubscription:
    """See Subscription."""

    def __init__(self, client: Redis, shown_url: str, channels: tuple[str, ...]) -> None:
        """Start listening in the background. ``client`` must not retry by itself."""
        self._client = client
        self._shown_url = shown_url
        self._channels = channels
        self._notified = asyncio.Event()
        self._listener = asyncio.create_task(self._listen(), name=f"subscription to {shown_url}")

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
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener

    async def _listen(self) -> None:
        back_off_s = BACK_OFF_FIRST_S
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(*self._channels)
                    self._notified.set()
                    back_off_s = BACK_OFF_FIRST_S
                    await self._read(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                facts = {"store": self._shown_url, "retry_s": back_off_s, "error": error}
                _log.warning("subscription lost", extra=facts)
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, BACK_OFF_MAX_S)

    async def _read(self, pubsub: PubSub) -> None:
        """Wake the reader on each notification; return when the server has gone silent."""
        silent = False
        while True:
            message = await pubsub.get_message(timeout=IDLE_S)
            if message is not None:
                silent = False
                if message["type"] == "message":
                    self._notified.set()
            elif silent:
                _log.warning("subscription silent", extra={"store": self._shown_url})
                return
            else:
                silent = True
                await pubsub.ping()
