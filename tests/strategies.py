"""Hypothesis strategies of the vocabulary, shared by the tests of several rooms."""

import math

from hypothesis import strategies as st

from nexus.core.finding import Finding, Region
from nexus.core.request import Dispatch, DropReason, ItemResult, Outcome
from nexus.core.tensor import DataType, Tensor, pack_bytes_elements

durations_us = st.integers(0, 2**40)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
names = st.text("abcXYZ019", min_size=1, max_size=8)
scores = st.floats(0, 1)

regions = st.builds(
    Region,
    st.integers(-10_000, 10_000),
    st.integers(-10_000, 10_000),
    st.integers(1, 10_000),
    st.integers(1, 10_000),
)
findings = st.builds(Finding, words, scores, st.none() | regions)
item_results = st.builds(ItemResult, st.lists(findings, max_size=3).map(tuple))


@st.composite
def tensors(draw: st.DrawFn, datatypes: tuple[DataType, ...] = tuple(DataType)) -> Tensor:
    """A small tensor of any datatype, rank 0 to 3, some of them empty."""
    datatype = draw(st.sampled_from(datatypes))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    elements = math.prod(shape)
    if datatype is DataType.BYTES:
        parts = st.lists(st.binary(max_size=5), min_size=elements, max_size=elements)
        content = pack_bytes_elements(draw(parts))
    else:
        count = elements * datatype.item_bytes
        content = draw(st.binary(min_size=count, max_size=count))
    return Tensor(draw(names), datatype, shape, content)


tensor_lists = st.lists(tensors(), max_size=3).map(tuple)


@st.composite
def dispatches(draw: st.DrawFn) -> Dispatch:
    """A dispatch with or without regions, with its deadline anywhere, past included."""
    crops = tuple(draw(st.lists(regions, max_size=4)))
    return Dispatch(
        id=draw(st.integers(0, 2**64 - 1)),
        session=draw(words),
        deadline_us=draw(st.integers(-(2**40), 2**40)),
        items=len(crops) or draw(st.integers(1, 64)),
        regions=crops,
    )


outcomes = st.builds(
    Outcome,
    reason=st.none() | st.sampled_from(DropReason),
    message=words,
    tensors=tensor_lists,
    items=st.lists(item_results, max_size=3).map(tuple),
    queue_us=durations_us,
    execute_us=durations_us,
    batch=st.integers(0, 1024),
    retry_after_us=durations_us,
    expected_wait_us=durations_us,
)
