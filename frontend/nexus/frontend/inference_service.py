"""The Open Inference Protocol's service: any client of Triton or KServe works unmodified.

Beyond the protocol a request may say which session it means by the parameters ``session`` or
``slo_ms``; ``timeout`` (us) and the gRPC deadline tighten its deadline. Answers carry
``nexus_session``, ``nexus_queue_us``, ``nexus_execute_us`` and ``nexus_batch`` as parameters.
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from importlib.metadata import version
from typing import Any, TypeAlias

import grpc.aio

from nexus.core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NexusError,
    NotFoundError,
    UnimplementedError,
)
from nexus.core.model import Model
from nexus.core.request import Outcome
from nexus.core.units import us_from_ms, us_from_s
from nexus.frontend.finding_tensors import finding_tensors
from nexus.frontend.front_desk import FrontDesk
from nexus.frontend.limits import INFERENCE_STREAM_IN_FLIGHT_MAX
from nexus.frontend.sessions import KnownSession
from nexus.frontend.streams import answered_as_finished
from nexus.frontend.validation import require_inputs, require_outputs
from nexus.inference import open_inference_pb2 as pb
from nexus.inference import open_inference_pb2_grpc
from nexus.rpc.convert_inference import (
    Parameter,
    parameters_from_pb,
    response_from_tensors,
    set_parameters,
    tensors_from_request,
)
from nexus.rpc.convert_model import config_from_model, metadata_from_model, repository_model
from nexus.rpc.status import error_from_outcome

SERVICE_NAME = "inference.GRPCInferenceService"
EXTENSIONS = ("model_repository", "model_configuration", "binary_tensor_data", "statistics")
_FINAL_RESPONSE_ASKED = "triton_enable_empty_final_response"
_ERRORS_AS_STATUS = ("triton_grpc_error", "true")

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class InferenceService(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Translates; ``FrontDesk`` looks up and runs."""

    def __init__(self, desk: FrontDesk) -> None:
        """Answer by what ``desk`` knows."""
        self._desk = desk
        self._version = version("nexus-serving")

    async def ServerLive(
        self,
        request: pb.ServerLiveRequest,
        context: _Context,
    ) -> pb.ServerLiveResponse:
        """The process runs."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self,
        request: pb.ServerReadyRequest,
        context: _Context,
    ) -> pb.ServerReadyResponse:
        """Whether a routing table was read and requests are accepted."""
        return pb.ServerReadyResponse(ready=self._desk.ready)

    async def ModelReady(
        self,
        request: pb.ModelReadyRequest,
        context: _Context,
    ) -> pb.ModelReadyResponse:
        """Whether a backend serves the model now; an unknown one is simply not ready."""
        try:
            model = self._desk.model(request.name, request.version)
        except NotFoundError:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=not self._desk.not_ready_reason(model))

    async def ServerMetadata(
        self,
        request: pb.ServerMetadataRequest,
        context: _Context,
    ) -> pb.ServerMetadataResponse:
        """Name, version, and the extensions that work."""
        return pb.ServerMetadataResponse(name="nexus", version=self._version, extensions=EXTENSIONS)

    async def ModelMetadata(
        self,
        request: pb.ModelMetadataRequest,
        context: _Context,
    ) -> pb.ModelMetadataResponse:
        """The declared inputs and outputs."""
        return metadata_from_model(self._desk.model(request.name, request.version))

    async def ModelConfig(
        self,
        request: pb.ModelConfigRequest,
        context: _Context,
    ) -> pb.ModelConfigResponse:
        """The declaration in Triton's words."""
        return config_from_model(self._desk.model(request.name, request.version))

    async def ModelStatistics(
        self,
        request: pb.ModelStatisticsRequest,
        context: _Context,
    ) -> pb.ModelStatisticsResponse:
        """Counts and durations of one model, or of all when none is named."""
        models = self._desk.models
        if request.name:
            models = (self._desk.model(request.name, request.version),)
        return pb.ModelStatisticsResponse(
            model_stats=[self._desk.statistics.of_model(model) for model in models]
        )

    async def RepositoryIndex(
        self,
        request: pb.RepositoryIndexRequest,
        context: _Context,
    ) -> pb.RepositoryIndexResponse:
        """All declared models, and why one is not ready."""
        response = pb.RepositoryIndexResponse()
        for model in self._desk.models:
            reason = self._desk.not_ready_reason(model)
            if reason and request.ready:
                continue
            state = "UNAVAILABLE" if reason else "READY"
            response.models.add(name=model.name, version=model.version, state=state, reason=reason)
        return response

    async def RepositoryModelLoad(
        self,
        request: pb.RepositoryModelLoadRequest,
        context: _Context,
    ) -> pb.RepositoryModelLoadResponse:
        """Confirm a model that is served; the plan, not a caller, decides what is loaded."""
        model = self._desk.model(repository_model(request), "")
        reason = self._desk.not_ready_reason(model)
        if reason:
            raise FailedPreconditionError(
                f"model {model.name!r} is not loaded: {reason}; the plan loads what has a session "
                "or query: declare one with 'nexus apply'",
                reason="not_planned",
            )
        return pb.RepositoryModelLoadResponse(model_name=model.name, isLoaded=True)

    async def RepositoryModelUnload(
        self,
        request: pb.RepositoryModelUnloadRequest,
        context: _Context,
    ) -> pb.RepositoryModelUnloadResponse:
        """Refuse: other callers' sessions need the model until nobody declares them."""
        raise UnimplementedError(
            f"model {repository_model(request)!r}: models are unloaded when no session or query "
            "needs them; delete those with 'nexus delete'",
            reason="plan_decides",
        )

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: _Context
    ) -> pb.ModelInferResponse:
        """One request, within the session's SLO and the caller's own deadline."""
        return await self._infer(request, context.time_remaining())

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterable[pb.ModelInferRequest], context: _Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Requests answered as they finish; a failed one is an ``error_message``.

        A client that set the metadata ``triton_grpc_error`` gets the stream's status instead.
        """
        as_status = _ERRORS_AS_STATUS in tuple(context.invocation_metadata() or ())

        async def answer(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
            try:
                response = await self._infer(request, context.time_remaining())
            except NexusError as error:
                if as_status:
                    raise
                return _stream_error(request, error)
            return pb.ModelStreamInferResponse(infer_response=response)

        limit = INFERENCE_STREAM_IN_FLIGHT_MAX
        async for response in answered_as_finished(request_iterator, answer, limit):
            yield response

    async def _infer(
        self, request: pb.ModelInferRequest, left_s: float | None
    ) -> pb.ModelInferResponse:
        now_us = self._desk.driver.now_us()
        parameters = parameters_from_pb(request.parameters) if request.parameters else {}
        try:
            model = self._desk.model(request.model_name, request.model_version)
            within_us = _tightest_us(parameters, left_s)
            session = self._session(model, parameters, within_us)
            tensors = tensors_from_request(request)
            items = require_inputs(model, tensors)
            require_outputs(model, (output.name for output in request.outputs))
        except NexusError as error:
            raise _with_request_id(error, request.id) from error
        allowed_us = session.slo_us if within_us is None else min(session.slo_us, within_us)
        outcome = await self._desk.infer(model, session, tensors, items, now_us + allowed_us)
        if not outcome.ok:
            raise _with_request_id(error_from_outcome(outcome), request.id)
        return _response(request, model, session, outcome, parameters)

    def _session(
        self, model: Model, parameters: Mapping[str, Parameter], within_us: int | None
    ) -> KnownSession:
        name = parameters.get("session")
        if name is not None:
            return self._desk.sessions.named(str(name), model.name)
        if "slo_ms" in parameters:
            slo_us = us_from_ms(_number(parameters, "slo_ms"))
            return self._desk.sessions.with_slo(model.name, slo_us)
        return self._desk.sessions.of_model(model.name, within_us)


def _tightest_us(parameters: Mapping[str, Parameter], left_s: float | None) -> int | None:
    """The time the caller itself allows: its ``timeout`` in us, its gRPC deadline, or neither."""
    limits = [] if left_s is None else [us_from_s(left_s)]
    if "timeout" in parameters and (timeout_us := int(_number(parameters, "timeout"))) > 0:
        limits.append(timeout_us)
    return min(limits, default=None)


def _number(parameters: Mapping[str, Parameter], name: str) -> float:
    value = parameters[name]
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = -1
    if not 0 <= value < float("inf"):
        raise InvalidArgumentError(
            f"parameter {name!r}: expected a number >= 0, got {parameters[name]!r}",
            reason="invalid_parameter",
        )
    return value


def _response(
    request: pb.ModelInferRequest,
    model: Model,
    session: KnownSession,
    outcome: Outcome,
    asked: Mapping[str, Parameter],
) -> pb.ModelInferResponse:
    tensors = outcome.tensors
    if outcome.items and not tensors:
        tensors = finding_tensors(outcome.items)
    response = response_from_tensors(request, tensors, version=model.version)
    parameters: dict[str, Parameter] = {
        "nexus_session": session.name,
        "nexus_queue_us": outcome.queue_us,
        "nexus_execute_us": outcome.execute_us,
        "nexus_batch": outcome.batch,
    }
    if outcome.served_by:
        parameters["nexus_served_by"] = outcome.served_by
    if asked.get(_FINAL_RESPONSE_ASKED) is True:
        parameters["triton_final_response"] = True
    set_parameters(response.parameters, parameters)
    return response


def _stream_error(request: pb.ModelInferRequest, error: NexusError) -> pb.ModelStreamInferResponse:
    """An error on a stream; the empty response beside it keeps the id to match it by."""
    response = pb.ModelInferResponse(
        model_name=request.model_name, model_version=request.model_version, id=request.id
    )
    details: dict[str, Parameter] = {f"nexus_{key}": value for key, value in error.details.items()}
    set_parameters(response.parameters, {"nexus_reason": error.reason, **details})
    return pb.ModelStreamInferResponse(error_message=error.message, infer_response=response)


def _with_request_id(error: NexusError, request_id: str) -> NexusError:
    prefix = f"[request id: {request_id}] "
    if not request_id or error.message.startswith(prefix):
        return error
    return type(error)(prefix + error.message, reason=error.reason, details=error.details)
