"""Frames asked and answers given: the QueryService's messages to core types and back."""

from dataclasses import dataclass

from nexus.core.answer import QueryAnswer, StageResult
from nexus.core.errors import InvalidArgumentError
from nexus.core.names import require_name
from nexus.core.request import Outcome
from nexus.core.session import SLO_US_MAX
from nexus.core.tensor import Tensor
from nexus.core.units import ms_from_us, us_from_ms
from nexus.rpc.convert_results import (
    items_from_pb,
    items_to_pb,
    reason_named,
    region_from_pb,
    region_to_pb,
    status_to_pb,
    tensor_from_header,
    tensor_header,
)
from nexus.v1 import query_pb2, results_pb2

ID_LENGTH_MAX = 256
"""Characters of a request or stream id: they are echoed, logged and kept while a frame is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFrame:
    """One frame for a query. ``timeout_us`` 0 leaves the query's SLO as the only limit."""

    query: str
    frame: bytes
    request_id: str = ""
    stream_id: str = ""
    frame_id: int = 0
    timeout_us: int = 0


def request_to_pb(asked: QueryFrame) -> query_pb2.QueryRequest:
    """A frame as a message."""
    return query_pb2.QueryRequest(
        query=asked.query,
        frame=asked.frame,
        request_id=asked.request_id,
        stream_id=asked.stream_id,
        frame_id=asked.frame_id,
        timeout_ms=ms_from_us(asked.timeout_us),
    )


def request_from_pb(message: query_pb2.QueryRequest) -> QueryFrame:
    """A message as a frame.

    Raises:
        InvalidArgumentError: no query is named, the frame is empty, an id is too long, or the
            timeout is negative, not a number or longer than any SLO.
    """
    require_name("query", message.query)
    if not message.frame:
        raise InvalidArgumentError(
            f"query {message.query!r}: the frame is empty; send the bytes of a JPEG or PNG file",
            reason="empty_frame",
        )
    for kind, value in (("request_id", message.request_id), ("stream_id", message.stream_id)):
        if len(value) > ID_LENGTH_MAX:
            raise InvalidArgumentError(
                f"query {message.query!r}: {kind} has {len(value)} characters, "
                f"at most {ID_LENGTH_MAX} are kept",
                reason="invalid_id",
            )
    if not 0 <= message.timeout_ms <= ms_from_us(SLO_US_MAX):
        raise InvalidArgumentError(
            f"query {message.query!r}: timeout {message.timeout_ms:g} ms is not in "
            f"0..{ms_from_us(SLO_US_MAX):g} ms",
            reason="invalid_timeout",
        )
    return QueryFrame(
        query=message.query,
        frame=message.frame,
        request_id=message.request_id,
        stream_id=message.stream_id,
        frame_id=message.frame_id,
        timeout_us=us_from_ms(message.timeout_ms),
    )


def answer_to_pb(answer: QueryAnswer) -> query_pb2.QueryResponse:
    """An answer as a message."""
    return query_pb2.QueryResponse(
        request_id=answer.request_id,
        stream_id=answer.stream_id,
        frame_id=answer.frame_id,
        status=status_to_pb(answer.outcome),
        stages=[_stage_to_pb(stage) for stage in answer.stages],
        latency_us=answer.latency_us,
    )


def answer_from_pb(message: query_pb2.QueryResponse) -> QueryAnswer:
    """A message as an answer; raise InvalidArgumentError when a part of it is malformed."""
    return QueryAnswer(
        request_id=message.request_id,
        stream_id=message.stream_id,
        frame_id=message.frame_id,
        outcome=_outcome(message.status),
        stages=tuple(_stage_from_pb(stage) for stage in message.stages),
        latency_us=message.latency_us,
    )


def _outcome(status: results_pb2.Status) -> Outcome:
    return Outcome(
        reason=reason_named(status.reason),
        message=status.message,
        expected_wait_us=status.expected_wait_us,
        retry_after_us=status.retry_after_us,
    )


def _stage_to_pb(result: StageResult) -> query_pb2.StageResult:
    outcome = result.outcome
    return query_pb2.StageResult(
        stage=result.stage,
        status=status_to_pb(outcome),
        items=items_to_pb(outcome.items),
        regions=[region_to_pb(region) for region in result.regions],
        tensors=[
            query_pb2.OutputTensor(header=tensor_header(tensor), content=tensor.content)
            for tensor in outcome.tensors
        ],
        timing=query_pb2.StageTiming(
            budget_us=result.budget_us,
            latency_us=result.latency_us,
            queue_us=outcome.queue_us,
            execute_us=outcome.execute_us,
            batch=outcome.batch,
        ),
        skipped_items=result.skipped_items,
        failed_items=result.failed_items,
    )


def _stage_from_pb(message: query_pb2.StageResult) -> StageResult:
    status, timing = message.status, message.timing
    outcome = Outcome(
        reason=reason_named(status.reason),
        message=status.message,
        tensors=tuple(_tensor(tensor) for tensor in message.tensors),
        items=items_from_pb(message.items),
        queue_us=timing.queue_us,
        execute_us=timing.execute_us,
        batch=timing.batch,
        expected_wait_us=status.expected_wait_us,
        retry_after_us=status.retry_after_us,
    )
    return StageResult(
        stage=message.stage,
        outcome=outcome,
        regions=tuple(region_from_pb(region) for region in message.regions),
        budget_us=timing.budget_us,
        latency_us=timing.latency_us,
        skipped_items=message.skipped_items,
        failed_items=message.failed_items,
    )


def _tensor(message: query_pb2.OutputTensor) -> Tensor:
    return tensor_from_header(message.header, message.content)
