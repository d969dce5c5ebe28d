"""The byte queue under the frame decoder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.rpc import chunks
from nexus.rpc.chunks import Chunks


@given(appended=st.lists(st.binary(max_size=12), max_size=20), data=st.data())
def test_chunks_hand_out_the_stream_unchanged(appended: list[bytes], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:  # small enough that every path is taken
        patch.setattr(chunks, "SMALL_CHUNK_BYTES", 4)
        patch.setattr(chunks, "COLLECTED_BYTES", 6)
        queue = Chunks()
        taken = []
        for chunk in appended:
            queue.append(chunk)
            taken.append(queue.take(data.draw(st.integers(0, queue.size))))
        taken.append(queue.take(queue.size))
    assert b"".join(taken) == b"".join(appended)
    assert queue.size == 0


def test_chunks_hand_out_a_whole_chunk_without_copying_it() -> None:
    chunk = bytes(100_000)
    queue = Chunks()
    queue.append(chunk)
    assert queue.take(len(chunk)) is chunk


def test_chunks_collect_dribbles_into_few_objects() -> None:
    queue = Chunks()
    for _ in range(2 * chunks.COLLECTED_BYTES):
        queue.append(b"x")
    assert len(queue._chunks) <= 3
    assert queue.take(queue.size) == b"x" * (2 * chunks.COLLECTED_BYTES)


def test_chunks_refuse_to_hand_out_more_than_there_is() -> None:
    queue = Chunks()
    queue.append(b"abc")
    with pytest.raises(AssertionError):
        queue.take(4)
