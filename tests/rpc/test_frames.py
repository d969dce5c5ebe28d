"""The codec of the internal hop: everything survives any chunking, nothing survives corruption."""

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.errors import MessageTooLargeError
from nexus.core.request import Dispatch, DropReason, Outcome, dropped
from nexus.core.tensor import DataType, Tensor
from nexus.rpc import frames
from nexus.rpc.frames import (
    PREFIX_BYTES,
    PROTOCOL,
    Ask,
    BatchStarted,
    Cancel,
    FrameDecoder,
    Goodbye,
    Granted,
    Hello,
    Infer,
    Message,
    Ping,
    Pong,
    ProtocolError,
    Replies,
    Reply,
    Watch,
    encode,
    infer_at,
)
from nexus.v1 import frames_pb2, results_pb2
from tests.strategies import dispatches, durations_us, names, outcomes, tensor_lists, words

uint64s = st.integers(0, 2**64 - 1)
uint32s = st.integers(0, 2**32 - 1)
refusals = st.builds(
    Outcome,
    reason=st.sampled_from(DropReason),
    message=words,
    retry_after_us=durations_us,
    expected_wait_us=durations_us,
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, words, st.integers(0, 2**32 - 1)),
    st.builds(infer_at, dispatches(), tensor_lists, st.just(0)),
    st.builds(Reply, uint64s, outcomes),
    st.builds(Cancel, uint64s),
    st.builds(Ping, uint64s),
    st.builds(Pong, uint64s),
    st.just(Goodbye()),
    st.builds(Replies, st.lists(st.builds(Reply, uint64s, outcomes), max_size=4).map(tuple)),
    st.builds(Ask, uint64s, words, st.integers(1, 64), st.integers(-(2**40), 2**40)),
    st.builds(Granted, uint64s, names),
    st.builds(Granted, uint64s, st.just(""), refusals),
    st.builds(Watch, st.booleans()),
    st.builds(BatchStarted, words, uint32s, durations_us, uint32s),
)


def bytes_of(*sent: Message) -> bytes:
    return b"".join(part for message in sent for part in encode(message))


def frame(kind: int, header: bytes, payload: bytes = b"", version: int = PROTOCOL) -> bytes:
    prefix = struct.pack("!2sBBII", b"NX", version, kind, len(header), len(payload))
    return prefix + header + payload


@given(sent=st.lists(messages, max_size=5), data=st.data())
def test_frames_round_trip_under_any_chunking(sent: list[Message], data: st.DataObject) -> None:
    stream = bytes_of(*sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    decoder = FrameDecoder()
    got: list[Message] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += decoder.feed(stream[start:end])
    assert got == sent
    assert decoder.held_bytes == 0


@given(sent=messages)
def test_frames_round_trip_byte_by_byte(sent: Message) -> None:
    decoder = FrameDecoder()
    got = [message for byte in bytes_of(sent) for message in decoder.feed(bytes([byte]))]
    assert got == [sent]


@given(garbage=st.binary(max_size=200), sent=messages)
def test_frames_garbage_is_a_protocol_error_or_unfinished(garbage: bytes, sent: Message) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(bytes_of(sent)) == [sent]
    try:
        decoder.feed(garbage)
    except ProtocolError:
        with pytest.raises(ProtocolError):
            decoder.feed(b"")


@given(sent=messages, position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_frames_a_corrupted_byte_never_raises_anything_else(
    sent: Message, position: int, value: int
) -> None:
    stream = bytearray(bytes_of(sent))
    stream[position % len(stream)] = value
    with contextlib.suppress(ProtocolError):
        FrameDecoder().feed(bytes(stream))


def test_frames_encode_hands_out_the_tensors_own_bytes() -> None:
    content = bytes(1000)
    tensor = Tensor("x", DataType.UINT8, (1000,), content)
    dispatch = Dispatch(id=1, session="s", deadline_us=0)
    assert encode(infer_at(dispatch, (tensor,), 0))[1] is content


def test_frames_infer_carries_the_time_left_and_no_timestamp() -> None:
    dispatch = Dispatch(id=7, session="s", deadline_us=1_000_500)
    sent = infer_at(dispatch, (), now_us=1_000_000)
    (got,) = FrameDecoder().feed(bytes_of(sent))
    assert isinstance(got, Infer)
    assert got.budget_us == 500
    assert got.received(now_us=77_000).deadline_us == 77_500
    assert got.received(now_us=77_000).id == 7


def test_frames_infer_that_is_late_already_keeps_its_negative_budget() -> None:
    sent = infer_at(Dispatch(id=1, session="s", deadline_us=100), (), now_us=350)
    (got,) = FrameDecoder().feed(bytes_of(sent))
    assert isinstance(got, Infer)
    assert got.budget_us == -250


def test_frames_every_drop_reason_travels() -> None:
    sent = [Reply(i, dropped(reason)) for i, reason in enumerate(DropReason)]
    assert FrameDecoder().feed(bytes_of(*sent)) == sent


def infer_header(**fields: Any) -> bytes:
    base: dict[str, Any] = {"dispatch_id": 1, "session": "s", "items": 1}
    return frames_pb2.InferHeader(**(base | fields)).SerializeToString()


def uint8(name: str, size: int) -> results_pb2.TensorHeader:
    return results_pb2.TensorHeader(name=name, datatype="UINT8", shape=[size], content_bytes=size)


EMPTY_REGION = results_pb2.Region(x=1, y=1, width=0, height=5)
MALFORMED = {
    "magic": (b"HTTP/1.1 200 OK\r\n", "not a Nexus peer"),
    "version": (frame(5, b"", version=9), "version 9"),
    "kind": (frame(99, b""), "kind 99"),
    "not_protobuf": (frame(2, b"\xff\xff\xff"), "not protobuf"),
    "not_utf8": (frame(1, b"\x0a\x02\xff\xfe"), "not protobuf"),
    "too_large": (struct.pack("!2sBBII", b"NX", PROTOCOL, 2, 4, 2**32 - 1), "exceeds the limit"),
    "no_items": (frame(2, infer_header(items=0)), "items 0"),
    "too_many_items": (frame(2, infer_header(items=2**31)), "items 2147483648"),
    "regions_are_not_items": (
        frame(2, infer_header(items=2, regions=[results_pb2.Region(width=1, height=1)])),
        "1 regions for 2 items",
    ),
    "empty_region": (frame(2, infer_header(regions=[EMPTY_REGION])), "0x5"),
    "tensor_past_the_payload": (
        frame(2, infer_header(tensors=[uint8("x", 10)]), b"123"),
        "'x' of 10 bytes in a payload of 3",
    ),
    "payload_left_over": (
        frame(2, infer_header(tensors=[uint8("x", 2)]), b"123"),
        "'x' of 2 bytes in a payload of 3",
    ),
    "size_is_not_the_shape": (
        frame(
            2,
            infer_header(
                tensors=[
                    results_pb2.TensorHeader(
                        name="x", datatype="FP32", shape=[2, 2], content_bytes=3
                    )
                ]
            ),
            b"123",
        ),
        "needs 16 bytes, got 3",
    ),
    "datatype": (
        frame(2, infer_header(tensors=[results_pb2.TensorHeader(name="x", datatype="FP8")])),
        "datatype 'FP8'",
    ),
    "reason": (
        frame(
            3, frames_pb2.ReplyHeader(status=results_pb2.Status(reason="bored")).SerializeToString()
        ),
        "'bored'",
    ),
    "ask_for_nothing": (frame(9, b""), "items 0"),
    "neither_granted_nor_refused": (frame(10, b""), "neither a backend nor a refusal"),
    "refused_without_reason": (
        frame(10, frames_pb2.GrantedHeader(refusal=results_pb2.Status()).SerializeToString()),
        "no reason",
    ),
    "replies_past_the_payload": (
        frame(
            8,
            frames_pb2.RepliesHeader(
                replies=[frames_pb2.ReplyHeader(tensors=[uint8("x", 2)])] * 2
            ).SerializeToString(),
            b"123",
        ),
        "of 4 bytes in a payload of 3",
    ),
    "payload_where_none_belongs": (frame(5, b"", b"zz"), "payload of 2 bytes"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_frames_malformed_input_is_named(case: str) -> None:
    stream, expected = MALFORMED[case]
    with pytest.raises(ProtocolError) as caught:
        FrameDecoder().feed(stream)
    assert expected in caught.value.message


def test_frames_decoder_refuses_a_claimed_size_before_it_arrives() -> None:
    decoder = FrameDecoder(frame_bytes_max=100)
    with pytest.raises(ProtocolError, match="Infer frame of 101 bytes"):
        decoder.feed(struct.pack("!2sBBII", b"NX", PROTOCOL, 2, 1, 100))


def test_frames_decoder_holds_only_the_unfinished_frame() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(bytes_of(Ping(1), Ping(2))[:-1]) == [Ping(1)]
    assert 0 < decoder.held_bytes < PREFIX_BYTES + 16


def test_frames_encode_refuses_what_the_peer_would_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frames, "FRAME_BYTES_MAX", 1_000)
    tensor = Tensor("x", DataType.UINT8, (1_000,), bytes(1_000))
    with pytest.raises(MessageTooLargeError, match="Reply of 1"):
        encode(Reply(1, Outcome(tensors=(tensor,))))
