"""The codec of the internal hop: messages to bytes and back, without any I/O (ADR 0007).

A frame is a prefix of 12 bytes, a protobuf header, and a payload::

    "NX" | version, 1 byte | kind, 1 byte | header length, 4 | payload length, 4 | header | payload

with big-endian lengths. Tensor contents are never serialised by protobuf: ``encode`` hands out the
very ``bytes`` objects of the tensors, and the decoder copies each content once, out of
what the socket gave.
"""

import struct
from typing import NamedTuple

from google.protobuf.message import DecodeError

from nexus.core.errors import InvalidArgumentError, MessageTooLargeError, NexusError
from nexus.rpc.chunks import Chunks
from nexus.rpc.frame_headers import UNPACK, Payload, pack
from nexus.rpc.frame_messages import (
    PROTOCOL,
    Ask,
    BatchStarted,
    Cancel,
    Goodbye,
    Granted,
    Hello,
    Infer,
    Message,
    Ping,
    Pong,
    Replies,
    Reply,
    Watch,
    infer_at,
)

__all__ = [
    "FRAME_BYTES_MAX",
    "PREFIX_BYTES",
    "PROTOCOL",
    "Ask",
    "BatchStarted",
    "Cancel",
    "FrameDecoder",
    "Goodbye",
    "Granted",
    "Hello",
    "Infer",
    "Message",
    "Ping",
    "Pong",
    "ProtocolError",
    "Replies",
    "Reply",
    "Watch",
    "encode",
    "infer_at",
]

FRAME_BYTES_MAX = 64 * 1024 * 1024
"""Header and payload of one frame together; more is refused by ``encode`` and by the decoder."""

_LAYOUT = struct.Struct("!2sBBII")
_MAGIC = b"NX"
PREFIX_BYTES = _LAYOUT.size


class ProtocolError(NexusError):
    """The peer sent what no version of this protocol allows; the connection cannot go on."""

    default_reason = "protocol"


def encode(message: Message) -> list[bytes]:
    """A message as the buffers of its frame, for ``transport.writelines``.

    Raises:
        MessageTooLargeError: header and payload exceed FRAME_BYTES_MAX together.
    """
    kind, header, contents = pack(message)
    payload_bytes = sum(map(len, contents))
    if len(header) + payload_bytes > FRAME_BYTES_MAX:
        raise MessageTooLargeError(
            f"{type(message).__name__} of {len(header) + payload_bytes} bytes does not fit a frame "
            f"of {FRAME_BYTES_MAX} bytes: send fewer or smaller items at once"
        )
    prefix = _LAYOUT.pack(_MAGIC, PROTOCOL, kind, len(header), payload_bytes)
    return [prefix + header, *contents]


class FrameDecoder:
    """Bytes as they arrive, in chunks of any size, to messages.

    It holds at most one unfinished frame and the chunk that was fed last. Every byte is copied a
    bounded number of times, however the stream is cut.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Refuse frames whose header and payload exceed ``frame_bytes_max``."""
        self._frame_bytes_max = frame_bytes_max
        self._chunks = Chunks()
        self._begun: _Prefix | None = None
        self._error: ProtocolError | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return self._chunks.size

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes of the stream; return the messages that they complete.

        Raises:
            ProtocolError: the bytes are not a frame. What came before them in ``data`` is lost with
                the connection, and every later call raises the same.
        """
        if self._error is not None:
            raise self._error
        self._chunks.append(data)
        messages: list[Message] = []
        try:
            while (message := self._next()) is not None:
                messages.append(message)
        except ProtocolError as error:
            self._error = error
            self._chunks = Chunks()
            raise
        return messages

    def _next(self) -> Message | None:
        """The next message, or None when its frame is not complete."""
        prefix = self._begun
        if prefix is None:
            if self._chunks.size < PREFIX_BYTES:
                return None
            prefix = self._begun = _parse_prefix(self._chunks.take(PREFIX_BYTES))
            if prefix.body_bytes > self._frame_bytes_max:
                raise ProtocolError(
                    f"{UNPACK[prefix.kind][0]} frame of {prefix.body_bytes} bytes exceeds the "
                    f"limit of {self._frame_bytes_max}"
                )
        if self._chunks.size < prefix.body_bytes:
            return None
        self._begun = None
        return _decode(prefix, self._chunks)


class _Prefix(NamedTuple):
    kind: int
    header_bytes: int
    payload_bytes: int
    body_bytes: int


def _parse_prefix(prefix: bytes) -> _Prefix:
    magic, version, kind, header_bytes, payload_bytes = _LAYOUT.unpack(prefix)
    if magic != _MAGIC:
        raise ProtocolError(f"a frame begins with {magic!r}, not {_MAGIC!r}: not a Nexus peer")
    if version != PROTOCOL:
        raise ProtocolError(
            f"the peer speaks version {version} of the internal hop, this side {PROTOCOL}: "
            "run the same release on both"
        )
    if kind not in UNPACK:
        raise ProtocolError(f"frame kind {kind} is unknown")
    return _Prefix(kind, header_bytes, payload_bytes, header_bytes + payload_bytes)


def _decode(prefix: _Prefix, chunks: Chunks) -> Message:
    name, header_class, unpack = UNPACK[prefix.kind]
    try:
        header = header_class.FromString(chunks.take(prefix.header_bytes))
        return unpack(header, Payload(prefix.payload_bytes, chunks.take))
    except DecodeError as error:
        raise ProtocolError(f"{name} frame: the header is not protobuf: {error}") from error
    except InvalidArgumentError as error:
        raise ProtocolError(f"{name} frame: {error.message}") from error
