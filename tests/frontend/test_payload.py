"""Rows cut from payloads, outcomes joined, findings as tensors."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from nexus.core.finding import Finding, Region
from nexus.core.request import DropReason, ItemResult, Outcome, dropped
from nexus.core.tensor import DataType, Tensor, pack_bytes_elements
from nexus.frontend.finding_tensors import finding_tensors
from nexus.frontend.outcomes import joined
from nexus.frontend.payload import frame_tensor, rows_of


@st.composite
def batches(draw: st.DrawFn) -> Tensor:
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    if draw(st.booleans()):
        parts = draw(
            st.lists(st.binary(max_size=4), min_size=rows * columns, max_size=rows * columns)
        )
        return Tensor("x", DataType.BYTES, (rows, columns), pack_bytes_elements(parts))
    content = draw(st.binary(min_size=rows * columns * 2, max_size=rows * columns * 2))
    return Tensor("x", DataType.INT16, (rows, columns), content)


@given(batches(), st.integers(1, 5))
def test_payload_cut_into_rows_and_joined_is_the_whole(tensor: Tensor, size: int) -> None:
    rows = tensor.shape[0]
    parts = [
        Outcome(tensors=rows_of((tensor,), first, min(size, rows - first)))
        for first in range(0, rows, size)
    ]
    assert joined(parts).tensors == (tensor,)


def test_payload_whole_request_is_not_copied() -> None:
    tensor = Tensor("x", DataType.UINT8, (2,), b"ab")
    assert rows_of((tensor,), 0, 2)[0] is tensor


def test_payload_frame_is_one_bytes_element() -> None:
    tensor = frame_tensor(b"\xff\xd8")
    assert (tensor.shape, tensor.content) == ((1,), b"\x02\0\0\0\xff\xd8")


def test_outcomes_joined_are_the_first_failure_or_the_slowest_part() -> None:
    good = Outcome(items=(ItemResult(),), queue_us=5, execute_us=1, batch=2)
    slow = Outcome(items=(ItemResult(),), queue_us=1, execute_us=9, batch=1)
    both = joined([good, slow])
    assert (len(both.items), both.queue_us, both.execute_us, both.batch) == (2, 5, 9, 2)
    bad = dropped(DropReason.ERROR, "boom")
    assert joined([good, bad, dropped(DropReason.LATE)]) is bad


def test_outcomes_that_do_not_fit_together_give_no_tensors() -> None:
    one = Outcome(tensors=(Tensor("x", DataType.UINT8, (1, 2), b"ab"),))
    other = Outcome(tensors=(Tensor("x", DataType.UINT8, (1, 3), b"abc"),))
    assert joined([one, other]).tensors == ()


def test_findings_as_tensors_fill_short_rows() -> None:
    found = ItemResult((Finding("é", 0.5, Region(1, 2, 3, 4)), Finding("b", 0.25)))
    labels, scores, boxes = finding_tensors((ItemResult(), found))
    assert labels.shape == scores.shape == (2, 2)
    assert labels.content == pack_bytes_elements((b"", b"", "é".encode(), b"b"))
    assert struct.unpack("<4f", scores.content) == (0.0, 0.0, 0.5, 0.25)
    assert struct.unpack("<16i", boxes.content) == (0,) * 8 + (1, 2, 3, 4) + (0,) * 4


def test_findings_none_at_all_are_empty_tensors() -> None:
    assert [tensor.shape for tensor in finding_tensors((ItemResult(),))] == [
        (1, 0),
        (1, 0),
        (1, 0, 4),
    ]
