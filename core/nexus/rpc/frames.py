"""The codec of the internal hop: messages to bytes and back, without any I/O (ADR 0007).

A frame is a prefix of 12 bytes, a protobuf header, and a payload::

    "NX" | version, 1 byte | kind, 1 byte | header length, 4 | payload length, 4 | header | payload

with big-endian lengths. Tensor contents are never serialised by protobuf: ``encode`` hands out the
very ``bytes`` objects of the tensors, and the decoder copies each content once, out of what the
socket gave.
"""

import struct

from google.protobuf.message import DecodeError

from nexus.core.errors import InvalidArgumentError, MessageTooLargeError, NexusError
from nexus.rpc.frame_headers import UNPACK, pack
from nexus.rpc.frame_messages import (
    PROTOCOL,
    Cancel,
    Goodbye,
    Hello,
    Infer,
    Message,
    Ping,
    Pong,
    Reply,
    infer_at,
)

__all__ = [
    "FRAME_BYTES_MAX",
    "PREFIX_BYTES",
    "PROTOCOL",
    "Cancel",
    "FrameDecoder",
    "Goodbye",
    "Hello",
    "Infer",
    "Message",
    "Ping",
    "Pong",
    "ProtocolError",
    "Reply",
    "encode",
    "infer_at",
]

FRAME_BYTES_MAX = 64 * 1024 * 1024
"""Header and payload of one frame together; more is refused by ``encode`` and by the decoder."""

_PREFIX = struct.Struct("!2sBBII")
_MAGIC = b"NX"
PREFIX_BYTES = _PREFIX.size


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
    prefix = _PREFIX.pack(_MAGIC, PROTOCOL, kind, len(header), payload_bytes)
    return [prefix + header, *contents]


class FrameDecoder:
    """Bytes as they arrive, in chunks of any size, to messages.

    It holds at most one unfinished frame. Every byte is copied a bounded number of times, however
    the stream is cut.
    """

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        """Refuse frames whose header and payload exceed ``frame_bytes_max``."""
        self._frame_bytes_max = frame_bytes_max
        self._held = bytearray()
        self._wanted_bytes = PREFIX_BYTES
        self._error: ProtocolError | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes of the unfinished frame."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes of the stream; return the messages that they complete.

        Raises:
            ProtocolError: the bytes are not a frame. What came before them in ``data`` is lost with
                the connection, and every later call raises the same.
        """
        if self._error is not None:
            raise self._error
        if not self._held:
            return self._decode_all(data)
        self._held += data
        if len(self._held) < self._wanted_bytes:
            return []
        return self._decode_all(self._held)

    def _decode_all(self, data: bytes | bytearray) -> list[Message]:
        messages: list[Message] = []
        view = memoryview(data)
        start = 0
        try:
            while (end := self._frame_end(view, start)) <= len(view):
                messages.append(_decode(view[start:end]))
                start = end
        except ProtocolError as error:
            self._error = error
            self._held = bytearray()
            raise
        self._wanted_bytes = end - start
        self._held = bytearray(view[start:])
        return messages

    def _frame_end(self, view: memoryview, start: int) -> int:
        """Where the frame that begins at ``start`` ends, or its prefix if even that is cut."""
        if len(view) - start < PREFIX_BYTES:
            return start + PREFIX_BYTES
        magic, version, kind, header_bytes, payload_bytes = _PREFIX.unpack_from(view, start)
        if magic != _MAGIC:
            raise ProtocolError(f"a frame begins with {magic!r}, not {_MAGIC!r}: not a Nexus peer")
        if version != PROTOCOL:
            raise ProtocolError(
                f"the peer speaks version {version} of the internal hop, this side {PROTOCOL}: "
                "run the same release on both"
            )
        if kind not in UNPACK:
            raise ProtocolError(f"frame kind {kind} is unknown")
        body_bytes: int = header_bytes + payload_bytes
        if body_bytes > self._frame_bytes_max:
            raise ProtocolError(
                f"{UNPACK[kind][0]} frame of {body_bytes} bytes exceeds the limit of "
                f"{self._frame_bytes_max}"
            )
        return start + PREFIX_BYTES + body_bytes


def _decode(frame: memoryview) -> Message:
    _, _, kind, header_bytes, _ = _PREFIX.unpack_from(frame)
    name, header_class, unpack = UNPACK[kind]
    payload_start = PREFIX_BYTES + header_bytes
    try:
        header = header_class.FromString(bytes(frame[PREFIX_BYTES:payload_start]))
        return unpack(header, frame[payload_start:])
    except DecodeError as error:
        raise ProtocolError(f"{name} frame: the header is not protobuf: {error}") from error
    except InvalidArgumentError as error:
        raise ProtocolError(f"{name} frame: {error.message}") from error
