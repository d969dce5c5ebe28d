"""Fake servers as fixtures: in the test's event loop, or beside it for blocking clients."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.client.fake_servers import Fake, serve


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
    asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
