"""Fake servers as fixtures: in the test's event loop, or beside it for blocking clients."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from nexus.rpc.server import RpcServer
from tests.client.fake_servers import Fake, serve


async def stop(server: RpcServer) -> None:
    """Stop, and let the calls that were cancelled end before their event loop closes."""
    await server.stop(0)
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=5)


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    """A fake in the test's own event loop."""
    made = Fake()
    server = await serve(made)
    yield made
    await server.stop(0)


@pytest.fixture
def fake_in_thread() -> Iterator[Fake]:
    """A fake with an event loop in a thread, for the blocking client."""
    made = Fake()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(made), loop).result(10)
    yield made
    asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
