"""Links to backends: found, lost, silent, relocated, withdrawn, impostors."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from nexus.core.errors import UnavailableError
from nexus.core.request import Dispatch, Outcome
from nexus.core.routing import Route, RoutingTable, SessionRoutes
from nexus.frontend import events
from nexus.frontend.backend_links import BackendLinks
from nexus.rpc.connection import Callbacks, FrameConnection, FrameServer, serve_frames
from nexus.rpc.frames import Goodbye, Infer, Message, Reply, infer_at

pytestmark = pytest.mark.integration

DISPATCH = Dispatch(id=1, session="s", deadline_us=1_000_000)


class Peer:
    """A backend's end that answers when told to."""

    def __init__(self) -> None:
        self.server: FrameServer | None = None
        self.greeted = 0
        self.infers: list[tuple[FrameConnection, int]] = []

    async def serve(self, name: str, port: int = 0) -> str:
        callbacks = Callbacks(on_message=self._on_message, on_connection=self._on_connection)
        self.server = await serve_frames("127.0.0.1", port, name=name, callbacks=callbacks)
        return self.server.address

    def kill(self) -> None:
        assert self.server is not None
        self.server.stop_listening()
        for connection in tuple(self.server.connections):
            connection.abort()

    def _on_connection(self, _: FrameConnection) -> None:
        self.greeted += 1

    def _on_message(self, connection: FrameConnection, message: Message) -> None:
        if isinstance(message, Infer):
            self.infers.append((connection, message.dispatch.id))


class Ears:
    """What the links told."""

    def __init__(self) -> None:
        self.heard: list[events.Event] = []
        self.links = BackendLinks("f0", self.heard.append)

    def follow(self, **addresses: str) -> None:
        routes = tuple(
            Route(backend=name, address=at, rate=1, batch=1, duty_cycle_us=1, latency_us=1)
            for name, at in addresses.items()
        )
        entry = SessionRoutes(session="s", model="m", slo_us=1, routes=routes)
        self.links.follow(RoutingTable(version=1, sessions=(entry,)))

    async def hear(self, event: events.Event, timeout_s: float = 5.0) -> None:
        await until(lambda: event in self.heard, timeout_s)


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - it happens in the code under test
            await asyncio.sleep(0.005)


@pytest.fixture
async def ears() -> AsyncIterator[Ears]:
    made = Ears()
    yield made
    await made.links.close()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    yield made
    if made.server is not None:
        await made.server.close()


async def test_links_send_and_hear_replies(ears: Ears, peer: Peer) -> None:
    ears.follow(b0=await peer.serve("b0"))
    await ears.hear(events.BackendFound("b0"))
    ears.links.send("b0", infer_at(DISPATCH, (), 0))
    await until(lambda: bool(peer.infers))
    connection, dispatch_id = peer.infers[0]
    connection.send(Reply(dispatch_id, Outcome(batch=3)))
    await ears.hear(events.Replied(1, Outcome(batch=3)))
    connection.send(Goodbye())
    await ears.hear(events.BackendLeaving("b0"))


async def test_links_killed_backend_is_lost_at_once_and_found_again(ears: Ears, peer: Peer) -> None:
    address = await peer.serve("b0")
    ears.follow(b0=address)
    await ears.hear(events.BackendFound("b0"))
    peer.kill()
    await ears.hear(events.BackendLost("b0"), timeout_s=0.5)
    with pytest.raises(UnavailableError, match="b0"):
        ears.links.send("b0", infer_at(DISPATCH, (), 0))
    ears.heard.clear()
    await peer.serve("b0", int(address.rpartition(":")[2]))
    await ears.hear(events.BackendFound("b0"))


async def test_links_silent_backend_is_lost_within_seconds(ears: Ears) -> None:
    gone = asyncio.Event()

    async def greet_and_freeze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Echoing the frontend's own Hello is a valid greeting of a backend called f0.
        writer.write(await reader.read(1024))
        await reader.read(-1)
        writer.close()
        gone.set()

    server = await asyncio.start_server(greet_and_freeze, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ears.follow(f0=f"127.0.0.1:{port}")
    await ears.hear(events.BackendFound("f0"))
    await ears.hear(events.BackendLost("f0"), timeout_s=5.0)
    await gone.wait()
    server.close()
    await server.wait_closed()


async def test_links_impostor_is_not_the_backend(ears: Ears, peer: Peer) -> None:
    ears.follow(b0=await peer.serve("somebody-else"))
    # It is tried again, and never taken for the backend.
    await until(lambda: peer.greeted >= 2)
    assert ears.heard == []


async def test_links_relocated_backend_is_lost_and_found(ears: Ears, peer: Peer) -> None:
    ears.follow(b0=await peer.serve("b0"))
    await ears.hear(events.BackendFound("b0"))
    elsewhere = Peer()
    ears.follow(b0=await elsewhere.serve("b0"))
    assert ears.heard[-1] == events.BackendLost("b0")
    await until(lambda: ears.heard[-1] == events.BackendFound("b0"))
    await asyncio.sleep(0.05)
    # The end of the old connection is no news about the new one.
    assert ears.heard.count(events.BackendLost("b0")) == 1
    assert elsewhere.server is not None
    await elsewhere.server.close()


async def test_links_withdrawn_backend_still_answers_what_it_has(ears: Ears, peer: Peer) -> None:
    ears.follow(b0=await peer.serve("b0"))
    await ears.hear(events.BackendFound("b0"))
    ears.links.send("b0", infer_at(DISPATCH, (), 0))
    await until(lambda: bool(peer.infers))
    ears.follow()
    connection, dispatch_id = peer.infers[0]
    assert connection.is_open
    connection.send(Reply(dispatch_id, Outcome()))
    await ears.hear(events.Replied(1, Outcome()))
    await ears.hear(events.BackendLost("b0"))


async def test_links_without_a_link_say_so(ears: Ears) -> None:
    with pytest.raises(UnavailableError, match="no connection to backend 'b9'"):
        ears.links.send("b9", infer_at(DISPATCH, (), 0))
