"""Bytes in the order they arrived, handed out again in pieces of another size.

Appending never copies a large chunk, and taking copies each byte once: a tensor that came in
several reads is joined straight into its content. Collecting it in a buffer and slicing that was
measured at twenty times the cost of the join (600 KB), nearly all of it for holding two buffers at
once. Dribbles are collected first: a peer that sends single bytes costs their number, not an object
each.
"""

from collections import deque

SMALL_CHUNK_BYTES = 4 * 1024
"""A chunk below this that must wait for others is collected with them."""

COLLECTED_BYTES = 64 * 1024
"""Collected dribbles become a chunk at this size."""


class Chunks:
    """A queue of bytes. ``size`` is how many can be taken."""

    def __init__(self) -> None:
        """Nothing has arrived."""
        self.size = 0
        self._chunks: deque[bytes] = deque()
        self._start = 0  # what is taken already of the first chunk
        self._dribbles = bytearray()  # newer than every chunk

    def append(self, data: bytes) -> None:
        """Add the next bytes of the stream."""
        is_waiting = self.size > 0
        self.size += len(data)
        if is_waiting and len(data) < SMALL_CHUNK_BYTES:
            self._dribbles += data
            if len(self._dribbles) >= COLLECTED_BYTES:
                self._collect()
        elif data:
            self._collect()
            self._chunks.append(data)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, of which there must be that many."""
        assert 0 <= count <= self.size, (count, self.size)
        if count == 0:
            return b""
        if not self._chunks:
            self._collect()
        self.size -= count
        first, end = self._chunks[0], self._start + count
        if end > len(first):
            return self._take_across(count)
        taken = first[self._start : end]
        self._start = end
        if end == len(first):
            self._drop_first()
        return taken

    def _take_across(self, count: int) -> bytes:
        pieces: list[bytes | memoryview] = []
        while count > 0:
            if not self._chunks:
                self._collect()
            first = self._chunks[0]
            piece = memoryview(first)[self._start : self._start + count]
            pieces.append(piece)
            count -= len(piece)
            self._start += len(piece)
            if self._start == len(first):
                self._drop_first()
        return b"".join(pieces)

    def _collect(self) -> None:
        if self._dribbles:
            self._chunks.append(bytes(self._dribbles))
            self._dribbles = bytearray()

    def _drop_first(self) -> None:
        self._chunks.popleft()
        self._start = 0
