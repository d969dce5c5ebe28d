"""Frames and answers survive the wire; malformed ones are named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.answer import QueryAnswer, StageResult
from nexus.core.errors import InvalidArgumentError
from nexus.core.request import DropReason, Outcome
from nexus.rpc.convert_query import (
    ID_LENGTH_MAX,
    QueryFrame,
    answer_from_pb,
    answer_to_pb,
    request_from_pb,
    request_to_pb,
)
from nexus.v1.query_pb2 import QueryRequest, QueryResponse
from tests.strategies import durations_us, names, outcomes, regions, words

counts = st.integers(0, 10_000)
frames = st.builds(
    QueryFrame,
    query=names,
    frame=st.binary(min_size=1, max_size=50),
    request_id=words,
    stream_id=words,
    frame_id=st.integers(0, 2**64 - 1),
    timeout_us=st.integers(0, 3_600_000_000),
)
stage_results = st.builds(
    StageResult,
    stage=names,
    outcome=outcomes,
    regions=st.lists(regions, max_size=3).map(tuple),
    budget_us=durations_us,
    latency_us=durations_us,
    skipped_items=counts,
    failed_items=counts,
)
answers = st.builds(
    QueryAnswer,
    outcome=st.builds(
        Outcome,
        reason=st.none() | st.sampled_from(DropReason),
        message=words,
        retry_after_us=durations_us,
        expected_wait_us=durations_us,
    ),
    stages=st.lists(stage_results, max_size=3).map(tuple),
    latency_us=durations_us,
    request_id=words,
    stream_id=words,
    frame_id=st.integers(0, 2**64 - 1),
)


@given(asked=frames)
def test_query_frame_round_trips(asked: QueryFrame) -> None:
    wire = request_to_pb(asked).SerializeToString()
    assert request_from_pb(QueryRequest.FromString(wire)) == asked


@given(answer=answers)
def test_query_answer_round_trips(answer: QueryAnswer) -> None:
    wire = answer_to_pb(answer).SerializeToString()
    assert answer_from_pb(QueryResponse.FromString(wire)) == answer


def test_query_answer_finds_its_stages() -> None:
    seen = StageResult(stage="detect", outcome=Outcome())
    answer = QueryAnswer(outcome=Outcome(), stages=(seen,))
    assert answer.stage("detect") is seen
    assert answer.stage("read") is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (QueryRequest(query="traffic"), "'traffic': the frame is empty"),
        (QueryRequest(frame=b"x"), "query name ''"),
        (QueryRequest(query="a/b", frame=b"x"), "'a/b'"),
        (QueryRequest(query="q", frame=b"x", timeout_ms=-1), "timeout -1 ms"),
        (QueryRequest(query="q", frame=b"x", timeout_ms=float("nan")), "timeout nan ms"),
        (QueryRequest(query="q", frame=b"x", timeout_ms=1e12), "timeout 1e+12 ms"),
        (
            QueryRequest(query="q", frame=b"x", request_id="i" * (ID_LENGTH_MAX + 1)),
            "request_id has 257 characters",
        ),
    ],
)
def test_query_request_that_is_malformed_is_named(message: QueryRequest, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        request_from_pb(message)
    assert expected in caught.value.message
