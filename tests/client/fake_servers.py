"""A frontend and a control service that do what a test tells them, over real gRPC on loopback."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nexus.core.answer import QueryAnswer, StageResult
from nexus.core.finding import Finding
from nexus.core.model import EngineKind, Model
from nexus.core.request import ItemResult, Outcome
from nexus.inference import open_inference_pb2 as inference
from nexus.inference.open_inference_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from nexus.rpc import convert_control, convert_inference, convert_query
from nexus.rpc.server import RpcServer
from nexus.v1 import control_pb2, query_pb2
from nexus.v1.control_pb2_grpc import ControlServiceServicer, add_ControlServiceServicer_to_server
from nexus.v1.query_pb2_grpc import QueryServiceServicer, add_QueryServiceServicer_to_server

Answering = Callable[[Any], Awaitable[Any]]


def answer(request: query_pb2.QueryRequest, label: str = "car") -> query_pb2.QueryResponse:
    """One stage ``detect`` that found one thing."""
    outcome = Outcome(items=(ItemResult((Finding(label, 0.9),)),), batch=2, execute_us=300)
    stage = StageResult(stage="detect", outcome=outcome, budget_us=1000, latency_us=400)
    return convert_query.answer_to_pb(
        QueryAnswer(outcome=Outcome(), stages=(stage,), latency_us=500, frame_id=request.frame_id)
    )


async def echo(request: inference.ModelInferRequest) -> inference.ModelInferResponse:
    """Every input as an output of the same name, and the parameters back."""
    tensors = convert_inference.tensors_from_request(request)
    response = convert_inference.response_from_tensors(request, tensors, version="7")
    convert_inference.set_parameters(
        response.parameters, convert_inference.parameters_from_pb(request.parameters)
    )
    return response


async def answer_query(request: query_pb2.QueryRequest) -> query_pb2.QueryResponse:
    return answer(request)


if TYPE_CHECKING:
    Servicers = object  # the stubs make every RPC abstract; here the others stay unimplemented
else:

    class Servicers(GRPCInferenceServiceServicer, QueryServiceServicer, ControlServiceServicer):
        pass


@dataclass
class Fake(Servicers):
    """Set ``on_infer`` and ``on_query``; ``seen`` lists the requests and the time left in s."""

    on_infer: Answering = echo
    on_query: Answering = answer_query
    seen: list[tuple[Any, float]] = field(default_factory=list)
    address: str = ""
    cancelled: int = 0

    async def _answer(self, request: Any, context: Any, behaviour: Answering) -> Any:
        self.seen.append((request, context.time_remaining()))
        try:
            return await behaviour(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._answer(request, context, self.on_infer)

    async def Query(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._answer(request, context, self.on_query)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return inference.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return inference.ModelReadyResponse(ready=request.name == "warm")

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        index = inference.RepositoryIndexResponse()
        index.models.add(name="warm", version="1", state="READY")
        index.models.add(name="cold", version="1", state="UNAVAILABLE", reason="no backend")
        return index

    async def Apply(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.seen.append((request, context.time_remaining()))
        response = control_pb2.ApplyResponse()
        response.applied.add(kind="model", name="m", change="created")
        return response

    async def List(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        model = Model(name="m", engine=EngineKind.EMULATED)
        return control_pb2.ListResponse(resources=[convert_control.resource_to_pb(model)])

    async def Describe(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        model = Model(name="m", engine=EngineKind.EMULATED)
        resource = convert_control.resource_to_pb(model)
        return control_pb2.DescribeResponse(resource=resource, facts_json=b'{"routes": []}')

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return control_pb2.DeleteResponse()


async def serve(fake: Fake, address: str = "127.0.0.1:0") -> RpcServer:
    """Start the fake; its ``address`` is set."""
    server = RpcServer()
    servicer: Any = fake
    server.add(
        add_GRPCInferenceServiceServicer_to_server, servicer, "inference.GRPCInferenceService"
    )
    server.add(add_QueryServiceServicer_to_server, servicer, "nexus.v1.QueryService")
    server.add(add_ControlServiceServicer_to_server, servicer, "nexus.v1.ControlService")
    fake.address = await server.start(address)
    return server
