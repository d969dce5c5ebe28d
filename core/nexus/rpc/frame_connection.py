"""One connection of the internal hop: an asyncio protocol around the frame codec.

It greets, answers pings, notices a peer that fell silent, and bounds what waits to be written. It
holds no decisions about requests: messages go to a callback, and whatever that callback does,
including raising, the reader goes on. A reply whose caller has gone is the callback's to drop.

It works alike on asyncio's and uvloop's loops.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from nexus.core.errors import NexusError, RefusedError, UnavailableError
from nexus.rpc.frames import (
    PROTOCOL,
    FrameDecoder,
    Hello,
    Message,
    Ping,
    Pong,
    ProtocolError,
    encode,
)

WRITE_BUFFER_BYTES_HIGH = 1024 * 1024
"""Above it ``drain`` waits, and a server stops reading from the peer that does not read."""

WRITE_BUFFER_BYTES_MAX = 64 * 1024 * 1024
"""Above it ``send`` refuses (reason ``queue_full``): the peer has stopped reading."""

PING_INTERVAL_S = 1.0
SILENT_INTERVALS_MAX = 10
"""Ping intervals without a byte from the peer after which it counts as lost."""

CLOSE_S_MAX = 5.0
"""How long a closing connection may take to flush."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Who is told. All run on the event loop and must not block.

    ``on_connection`` when the peer has said hello, ``on_message`` for everything it says after
    that, ``on_lost`` once, after ``on_connection``, when the connection is no more.
    """

    on_message: Callable[["FrameConnection", Message], None]
    on_connection: Callable[["FrameConnection"], None] = lambda _: None
    on_lost: Callable[["FrameConnection"], None] = lambda _: None


class FrameConnection(asyncio.Protocol):
    """See the module. Made by ``serve_frames`` and ``connect_frames``.

    ``peer`` is the name the other side gave itself, ``address`` where it is, and ``error``, once
    the connection is lost, why (None: one side closed it).
    """

    def __init__(
        self,
        name: str,
        callbacks: Callbacks,
        *,
        holds_back: bool,
        ping_interval_s: float = PING_INTERVAL_S,
    ) -> None:
        """Greet as ``name``; ``holds_back``: do not read from a peer that does not read."""
        self.peer = ""
        self.address = ""
        self.error: NexusError | None = None
        self._name = name
        self._callbacks = callbacks
        self._holds_back = holds_back
        self._ping_interval_s = ping_interval_s
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silent_intervals = 0
        self._ping_token = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def write_buffer_bytes(self) -> int:
        """Bytes handed to ``send`` that the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, message: Message) -> None:
        """Queue a message; it never waits.

        Raises:
            UnavailableError: the connection is closed.
            RefusedError: too much waits to be written already (reason ``queue_full``).
            MessageTooLargeError: the message does not fit a frame.
        """
        if self._transport is None or self._transport.is_closing():
            raise UnavailableError(f"the connection to {self} is closed")
        if self._transport.get_write_buffer_size() > WRITE_BUFFER_BYTES_MAX:
            raise RefusedError(
                f"{self} does not read: {self.write_buffer_bytes} bytes wait to be written",
                reason="queue_full",
            )
        self._transport.writelines(encode(message))

    async def drain(self) -> None:
        """Wait until little waits to be written; return at once when the connection is lost."""
        await self._writable.wait()

    async def greeted(self) -> None:
        """Wait for the peer's hello; raise UnavailableError or ProtocolError when none comes."""
        await asyncio.shield(self._greeted)

    async def closed(self) -> None:
        """Wait until the connection is no more."""
        await asyncio.shield(self._lost)

    def close(self) -> None:
        """Flush what was sent, then close; a peer that does not read is cut off after a while."""
        if self._transport is not None:
            self._transport.close()
            self._set_timer(CLOSE_S_MAX, self._transport.abort)

    def abort(self, error: NexusError | None = None) -> None:
        """Close at once, dropping what is not written yet."""
        self.error = self.error or error
        if self._transport is not None:
            self._transport.abort()

    def __str__(self) -> str:
        return f"{self.peer or 'a peer that has not said hello'} at {self.address}"

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the peer."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape only
        self.address = _host_port(transport.get_extra_info("peername"))
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_HIGH)
        self._write(Hello(self._name))
        self._set_timer(self._ping_interval_s, self._tick)

    def data_received(self, data: bytes) -> None:
        """Hand on the messages that the bytes complete; a malformed frame ends the connection."""
        if self._greeted.done():  # a stranger that trickles bytes does not count as alive
            self._silent_intervals = 0
        try:
            for message in self._decoder.feed(data):
                self._receive(message)
        except ProtocolError as error:
            logger.warning("malformed_frame peer=%s error=%s", self, error)
            self.abort(error)

    def pause_writing(self) -> None:
        """The peer does not keep up with what is sent."""
        self._writable.clear()
        if self._holds_back and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer keeps up again."""
        self._writable.set()
        if self._holds_back and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, and ``on_lost`` if the peer had been introduced."""
        if exc is not None and self.error is None:
            self.error = UnavailableError(f"the connection to {self} broke: {exc}")
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._writable.set()
        self._lost.set_result(None)
        if self._greeted.done():
            self._call(self._callbacks.on_lost, self)
        else:
            self._greeted.set_exception(
                self.error or UnavailableError(f"{self} closed the connection")
            )
            self._greeted.exception()  # retrieved: on a server nobody may be waiting for it

    # inside

    def _receive(self, message: Message) -> None:
        if not self._greeted.done():
            self._receive_hello(message)
            return
        match message:
            case Ping(token):
                self._write(Pong(token))
            case Pong():
                pass
            case Hello():
                raise ProtocolError(f"{self} said hello twice")
            case _:
                self._call(self._callbacks.on_message, self, message)

    def _receive_hello(self, message: Message) -> None:
        if not isinstance(message, Hello):
            raise ProtocolError(f"{self} began with {type(message).__name__} instead of Hello")
        if message.protocol != PROTOCOL:
            raise ProtocolError(
                f"{message.peer!r} speaks protocol {message.protocol}, this side {PROTOCOL}: "
                "run the same release on both"
            )
        self.peer = message.peer
        self._greeted.set_result(None)
        self._call(self._callbacks.on_connection, self)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            logger.exception("callback_failed peer=%s", self)

    def _tick(self) -> None:
        # Silence is counted in ticks, not in time: a loop that was blocked for long has not read
        # yet what the peer sent meanwhile, and must not take that for the peer's silence.
        self._silent_intervals += 1
        if self._silent_intervals > SILENT_INTERVALS_MAX:
            self.abort(UnavailableError(f"{self} fell silent"))
            return
        if self._silent_intervals > 1:
            self._ping_token += 1
            self._write(Ping(self._ping_token))
        self._set_timer(self._ping_interval_s, self._tick)

    def _write(self, message: Message) -> None:
        """Write a message of the protocol's own, which no limit refuses."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(encode(message))

    def _set_timer(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, callback)


def _host_port(peername: tuple[str, int] | None) -> str:
    """``host:port`` of a socket address; a socket that is gone already has none."""
    return "" if peername is None else f"{peername[0]}:{peername[1]}"
