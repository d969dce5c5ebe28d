"""Both ends of the internal hop over real sockets: greetings, order, faults, back-pressure."""

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import uvloop

from nexus.core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    RefusedError,
    UnavailableError,
)
from nexus.core.request import Dispatch, DropReason, Outcome, dropped
from nexus.core.tensor import DataType, Tensor
from nexus.rpc import frame_connection
from nexus.rpc.connection import (
    Callbacks,
    FrameConnection,
    FrameServer,
    connect_frames,
    serve_frames,
)
from nexus.rpc.frames import (
    Cancel,
    FrameDecoder,
    Goodbye,
    Hello,
    Infer,
    Message,
    Ping,
    Pong,
    ProtocolError,
    Reply,
    encode,
    infer_at,
)

pytestmark = pytest.mark.integration


@dataclass
class Side:
    """What one end of the hop was told."""

    connected: list[FrameConnection] = field(default_factory=list)
    lost: list[FrameConnection] = field(default_factory=list)
    messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(
            on_connection=self.connected.append,
            on_message=lambda _, message: self.messages.put_nowait(message),
            on_lost=self.lost.append,
        )

    async def next(self) -> Message:
        return await asyncio.wait_for(self.messages.get(), 10)


@dataclass
class Hop:
    """A server and a client connected to it."""

    server: FrameServer
    connection: FrameConnection
    backend: Side
    frontend: Side


@contextlib.asynccontextmanager
async def connected(
    ping_interval_s: float = 1.0,
    on_message: Callable[[FrameConnection, Message], None] | None = None,
) -> AsyncIterator[Hop]:
    backend, frontend = Side(), Side()
    callbacks = backend.callbacks
    if on_message is not None:
        callbacks = Callbacks(on_message=on_message, on_lost=backend.lost.append)
    server = await serve_frames(
        "127.0.0.1", 0, name="b0", callbacks=callbacks, ping_interval_s=ping_interval_s
    )
    connection = await connect_frames(
        server.address,
        name="f0",
        callbacks=frontend.callbacks,
        ping_interval_s=ping_interval_s,
    )
    try:
        yield Hop(server, connection, backend, frontend)
    finally:
        connection.close()
        await server.close()


def infer(number: int, size: int = 100) -> Infer:
    tensor = Tensor("x", DataType.UINT8, (size,), bytes(size))
    return infer_at(Dispatch(id=number, session="s", deadline_us=500), (tensor,), 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is on the other end
            await asyncio.sleep(0.002)


async def exchange() -> None:
    """Messages pass both ways, in order, whatever their size."""
    async with connected() as hop:
        sent: list[Message] = [infer(1), infer(2, 3_000_000), Cancel(1), infer(3, 0)]
        for message in sent:
            hop.connection.send(message)
        assert [await hop.backend.next() for _ in sent] == sent
        replies: list[Message] = [
            Reply(1, dropped(DropReason.CANCELLED)),
            Reply(2, Outcome(batch=4)),
            Goodbye(),
        ]
        for reply in replies:
            hop.backend.connected[0].send(reply)
        assert [await hop.frontend.next() for _ in replies] == replies


def send_until_refused(connection: FrameConnection, content: Tensor) -> int:
    """How many replies were taken before one was refused."""
    taken = 0
    refusal: RefusedError | None = None
    while refusal is None:
        assert taken < 100, "nothing was refused"
        try:
            connection.send(Reply(taken, Outcome(tensors=(content,))))
            taken += 1
        except RefusedError as error:
            refusal = error
    assert refusal.reason == "queue_full"
    assert connection.peer in refusal.message
    return taken


async def stalled_reader() -> None:
    """A server does not buffer without bound for a client that stops reading, and recovers."""
    async with connected() as hop:
        await until(lambda: bool(hop.backend.connected))
        (there,) = hop.backend.connected
        transport = hop.connection._transport
        assert transport is not None
        transport.pause_reading()
        content = Tensor("y", DataType.UINT8, (8_000_000,), bytes(8_000_000))
        sent = send_until_refused(there, content)
        hop.connection.send(infer(1))
        await asyncio.sleep(0.05)
        assert hop.backend.messages.empty(), "the server went on reading from a peer that does not"
        transport.resume_reading()
        await asyncio.wait_for(there.drain(), 20)
        got = [await hop.frontend.next() for _ in range(sent)]
        assert [reply.dispatch_id for reply in got if isinstance(reply, Reply)] == list(range(sent))
        assert await hop.backend.next() == infer(1)


@pytest.mark.parametrize("scene", [exchange, stalled_reader])
def test_connection_works_on_uvloop(scene: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene()

    uvloop.run(main())


async def test_connection_carries_messages_both_ways_in_order() -> None:
    await exchange()


async def test_connection_bounds_what_a_peer_does_not_read() -> None:
    await stalled_reader()


async def test_connection_introduces_both_sides() -> None:
    async with connected() as hop:
        await until(lambda: bool(hop.backend.connected))
        assert hop.connection.peer == "b0"
        assert hop.backend.connected[0].peer == "f0"
        assert hop.server.connections == {hop.backend.connected[0]}
        assert str(hop.connection) == f"b0 at {hop.server.address}"


async def test_connection_reader_survives_a_callback_that_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pending: dict[int, FrameConnection] = {}

    def reply(connection: FrameConnection, message: Message) -> None:
        assert isinstance(message, Infer)
        connection.send(Reply(message.dispatch.id, Outcome()))
        del pending[message.dispatch.id]  # the caller has gone

    async with connected(on_message=reply) as hop:
        with caplog.at_level(logging.CRITICAL + 1):
            for number in range(3):
                hop.connection.send(infer(number))
            got = [await hop.frontend.next() for _ in range(3)]
        assert got == [Reply(number, Outcome()) for number in range(3)]
        assert hop.connection.is_open


async def test_connection_loss_is_told_once_with_its_reason() -> None:
    async with connected() as hop:
        await until(lambda: bool(hop.backend.connected))
        hop.backend.connected[0].abort()
        await asyncio.wait_for(hop.connection.closed(), 10)
        assert hop.frontend.lost == [hop.connection]
        assert not hop.connection.is_open
        await asyncio.wait_for(hop.connection.drain(), 10)
        with pytest.raises(UnavailableError, match=r"connection to b0 at .* is closed"):
            hop.connection.send(Ping(1))
        await until(lambda: hop.backend.lost == hop.backend.connected)
        assert hop.server.connections == set()


async def test_connection_close_flushes_what_was_sent() -> None:
    async with connected() as hop:
        hop.connection.send(infer(1, 5_000_000))
        hop.connection.close()
        assert await hop.backend.next() == infer(1, 5_000_000)
        await until(lambda: len(hop.backend.lost) == 1)
        assert hop.backend.lost[0].error is None


async def test_connection_that_never_flushes_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_connection, "CLOSE_S_MAX", 0.05)
    async with connected() as hop:
        await until(lambda: bool(hop.backend.connected))
        transport = hop.connection._transport
        assert transport is not None
        transport.pause_reading()
        content = Tensor("y", DataType.UINT8, (30_000_000,), bytes(30_000_000))
        hop.backend.connected[0].send(Reply(1, Outcome(tensors=(content,))))
        await asyncio.wait_for(hop.server.close(), 10)
        transport.resume_reading()


async def test_server_broadcasts_to_everyone_and_stops_listening() -> None:
    async with connected() as hop:
        other = Side()
        second = await connect_frames(hop.server.address, name="f1", callbacks=other.callbacks)
        await until(lambda: len(hop.server.connections) == 2)
        hop.server.stop_listening()
        hop.server.broadcast(Goodbye())
        assert [await hop.frontend.next(), await other.next()] == [Goodbye(), Goodbye()]
        with pytest.raises(UnavailableError, match="cannot connect to a backend"):
            await connect_frames(hop.server.address, name="f2", callbacks=other.callbacks)
        assert second.is_open
        second.close()


async def test_server_refuses_connections_beyond_its_limit() -> None:
    side = Side()
    server = await serve_frames(
        "127.0.0.1", 0, name="b0", callbacks=side.callbacks, connections_max=1
    )
    first = await connect_frames(server.address, name="f0", callbacks=side.callbacks)
    other = Side()
    with contextlib.suppress(UnavailableError):  # the greeting may or may not get through first
        second = await connect_frames(server.address, name="f1", callbacks=other.callbacks)
        await asyncio.wait_for(second.closed(), 10)
    assert first.is_open
    assert {connection.peer for connection in server.connections} == {"f0"}
    first.close()
    await server.close()


async def test_server_cannot_listen_on_a_taken_port() -> None:
    async with connected() as hop:
        host, _, port = hop.server.address.rpartition(":")
        with pytest.raises(FailedPreconditionError, match=f"cannot listen on {host}:{port}"):
            await serve_frames(host, int(port), name="b1", callbacks=hop.backend.callbacks)


@pytest.mark.parametrize("address", ["nowhere", "host:port", ":80", "host:"])
async def test_connect_refuses_what_is_not_an_address(address: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not HOST:PORT"):
        await connect_frames(address, name="f0", callbacks=Side().callbacks)


class Stranger:
    """A plain socket that speaks to one end of the hop as a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.decoder = FrameDecoder()

    async def say(self, *messages: Message) -> None:
        for message in messages:
            self.writer.writelines(encode(message))
        await self.writer.drain()

    async def hear(self) -> list[Message]:
        async with asyncio.timeout(10):
            return self.decoder.feed(await self.reader.read(1_000_000))


@contextlib.asynccontextmanager
async def stranger(address: str) -> AsyncIterator[Stranger]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Stranger(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_connection_answers_pings_itself() -> None:
    async with connected() as hop, stranger(hop.server.address) as peer:
        assert await peer.hear() == [Hello("b0")]
        await peer.say(Hello("f9"), Ping(42))
        assert await peer.hear() == [Pong(42)]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"".join(encode(Ping(1))),
        b"".join(encode(Hello("f9", protocol=99))),
        b"".join(encode(Hello("f9")) + encode(Hello("f9"))),
        b"".join(encode(Hello("f9"))) + struct.pack("!2sBBII", b"NX", 1, 2, 2**31, 2**31),
    ],
    ids=["http", "no_hello", "protocol", "hello_twice", "too_large"],
)
async def test_server_drops_a_malformed_peer_and_serves_the_others(sent: bytes) -> None:
    async with connected() as hop, stranger(hop.server.address) as peer:
        peer.writer.write(sent)
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(peer.reader.read(1_000), 10):
                pass
        hop.connection.send(infer(1))
        assert await hop.backend.next() == infer(1)


async def test_connect_tells_a_peer_of_another_kind() -> None:
    async def speak_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_http, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(ProtocolError, match="not a Nexus peer"):
        await connect_frames(address, name="f0", callbacks=Side().callbacks)
    server.close()
    await server.wait_closed()


async def test_connect_gives_up_on_a_peer_that_says_nothing() -> None:
    silent = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(UnavailableError, match=r"no answer within 0\.05 s"):
        await connect_frames(address, name="f0", callbacks=Side().callbacks, timeout_s=0.05)
    silent.set()
    server.close()
    await server.wait_closed()


async def test_connection_to_a_peer_that_falls_silent_is_lost() -> None:
    async with connected(ping_interval_s=0.01) as hop, stranger(hop.server.address) as peer:
        await peer.say(Hello("f9"))
        await until(lambda: len(hop.backend.connected) == 2)
        await until(lambda: len(hop.backend.lost) == 1)
        assert hop.backend.lost[0].peer == "f9"
        assert "fell silent" in str(hop.backend.lost[0].error)


async def test_connection_that_is_idle_stays_open() -> None:
    async with connected(ping_interval_s=0.01) as hop:
        await until(lambda: hop.connection._ping_token > frame_connection.SILENT_INTERVALS_MAX)
        assert hop.connection.is_open
        assert hop.frontend.lost == hop.backend.lost == []


async def test_server_close_cuts_off_a_peer_that_never_said_hello() -> None:
    async with connected() as hop, stranger(hop.server.address) as peer:
        assert await peer.hear() == [Hello("b0")]
        await asyncio.wait_for(hop.server.close(), 10)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(peer.reader.read(), 10) == b""
