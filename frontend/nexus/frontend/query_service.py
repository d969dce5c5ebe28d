"""nexus.v1.QueryService: frames in, what every stage of the query found out."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, TypeAlias

import grpc.aio

from nexus.core.answer import QueryAnswer
from nexus.core.errors import NexusError
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.units import us_from_s
from nexus.frontend.front_desk import FrontDesk
from nexus.frontend.limits import STREAM_IN_FLIGHT_MAX
from nexus.frontend.streams import answered_as_finished
from nexus.frontend.validation import require_image
from nexus.rpc.convert_query import QueryFrame, answer_to_pb, request_from_pb
from nexus.rpc.status import error_from_outcome
from nexus.v1 import query_pb2, query_pb2_grpc

SERVICE_NAME = "nexus.v1.QueryService"

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class QueryService(query_pb2_grpc.QueryServiceServicer):
    """Translates; ``FrontDesk`` looks up and runs."""

    def __init__(self, desk: FrontDesk) -> None:
        """Answer by what ``desk`` knows."""
        self._desk = desk

    async def Query(
        self, request: query_pb2.QueryRequest, context: _Context
    ) -> query_pb2.QueryResponse:
        """One frame; a failure is the call's status."""
        answer = await self._run(request_from_pb(request), context.time_remaining())
        if not answer.outcome.ok:
            raise error_from_outcome(answer.outcome)
        return answer_to_pb(answer)

    async def StreamQuery(
        self, request_iterator: AsyncIterable[query_pb2.QueryRequest], context: _Context
    ) -> AsyncIterator[query_pb2.QueryResponse]:
        """Frames answered as they finish; a failure is its response's status."""

        async def answer(request: query_pb2.QueryRequest) -> query_pb2.QueryResponse:
            try:
                ran = await self._run(request_from_pb(request), context.time_remaining())
            except NexusError as error:
                return _failed(request, dropped(DropReason.INVALID, error.message))
            return answer_to_pb(ran)

        async for response in answered_as_finished(
            request_iterator, answer, STREAM_IN_FLIGHT_MAX, _too_many
        ):
            yield response

    async def _run(self, asked: QueryFrame, left_s: float | None) -> QueryAnswer:
        now_us = self._desk.driver.now_us()
        query = self._desk.query(asked.query)
        require_image(f"query {asked.query!r}", asked.frame)
        limits = [query.slo_us]
        if asked.timeout_us:
            limits.append(asked.timeout_us)
        if left_s is not None:
            limits.append(us_from_s(left_s))
        ended = await self._desk.run_query(query, asked.frame, now_us + min(limits))
        return QueryAnswer(
            outcome=ended.outcome,
            stages=ended.stages,
            latency_us=ended.latency_us,
            request_id=asked.request_id,
            stream_id=asked.stream_id,
            frame_id=asked.frame_id,
        )


def _too_many(request: query_pb2.QueryRequest) -> query_pb2.QueryResponse:
    message = f"{STREAM_IN_FLIGHT_MAX} frames of this stream are under way; keep the newest, wait"
    return _failed(request, dropped(DropReason.QUEUE_FULL, message))


def _failed(request: query_pb2.QueryRequest, outcome: Outcome) -> query_pb2.QueryResponse:
    return answer_to_pb(
        QueryAnswer(
            outcome=outcome,
            request_id=request.request_id,
            stream_id=request.stream_id,
            frame_id=request.frame_id,
        )
    )
