"""Every call as a value: which RPC, the request, and how to read the reply.

The sync and the aio client both run these, so a call is described once.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nexus.client.inputs import Frame, Inputs, frame_bytes, tensors_from
from nexus.client.results import (
    Applied,
    Description,
    InferResult,
    ModelInfo,
    ModelMetadata,
    QueryResult,
)
from nexus.client.stubs import Stubs
from nexus.core.cluster import ClusterView
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.inference import open_inference_pb2 as inference
from nexus.rpc import convert_control, convert_inference, convert_model, convert_query
from nexus.rpc.convert_control import Declared
from nexus.v1 import control_pb2

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Operation(Generic[ResultT]):
    """``read`` turns the reply, and how long it took in us, into the result."""

    rpc: Callable[[Stubs], Any]
    request: Any
    read: Callable[[Any, int], ResultT]


def infer(
    model: str,
    inputs: Inputs,
    *,
    version: str,
    slo_ms: float | None,
    session: str | None,
    outputs: Sequence[str],
) -> Operation[InferResult]:
    """ModelInfer."""
    parameters: dict[str, float | str] = {}
    if slo_ms is not None:
        parameters["slo_ms"] = float(slo_ms)
    if session is not None:
        parameters["session"] = session
    request = convert_inference.request_from_tensors(
        model, tensors_from(inputs), version=version, parameters=parameters, outputs=outputs
    )

    def read(reply: inference.ModelInferResponse, took_us: int) -> InferResult:
        return InferResult(
            model=reply.model_name,
            version=reply.model_version,
            tensors=convert_inference.tensors_from_response(reply),
            parameters=convert_inference.parameters_from_pb(reply.parameters),
            round_trip_us=took_us,
        )

    return Operation(lambda stubs: stubs.inference.ModelInfer, request, read)


def query(name: str, frame: Frame, *, frame_id: int, stream_id: str) -> Operation[QueryResult]:
    """Query: one frame. Its deadline is the call's own, so the message needs none."""
    asked = convert_query.QueryFrame(
        query=name, frame=frame_bytes(frame), frame_id=frame_id, stream_id=stream_id
    )

    def read(reply: Any, took_us: int) -> QueryResult:
        answer = convert_query.answer_from_pb(reply)
        return QueryResult(
            query=name,
            frame_id=frame_id,
            stages=answer.stages,
            latency_us=answer.latency_us,
            round_trip_us=took_us,
        )

    return Operation(lambda stubs: stubs.query.Query, convert_query.request_to_pb(asked), read)


def ready(model: str) -> Operation[bool]:
    """ModelReady, or ServerReady when no model is named."""
    if model:
        request: Any = inference.ModelReadyRequest(name=model)
        return Operation(lambda s: s.inference.ModelReady, request, lambda r, _: bool(r.ready))
    request = inference.ServerReadyRequest()
    return Operation(lambda s: s.inference.ServerReady, request, lambda r, _: bool(r.ready))


def models() -> Operation[tuple[ModelInfo, ...]]:
    """RepositoryIndex."""

    def read(reply: inference.RepositoryIndexResponse, _: int) -> tuple[ModelInfo, ...]:
        return tuple(
            ModelInfo(name=m.name, version=m.version, ready=m.state == "READY", reason=m.reason)
            for m in reply.models
        )

    request = inference.RepositoryIndexRequest()
    return Operation(lambda stubs: stubs.inference.RepositoryIndex, request, read)


def metadata(model: str) -> Operation[ModelMetadata]:
    """ModelMetadata."""

    def read(reply: inference.ModelMetadataResponse, _: int) -> ModelMetadata:
        return ModelMetadata(
            name=reply.name,
            versions=tuple(reply.versions),
            platform=reply.platform,
            inputs=convert_model.specs_from_metadata(reply.inputs),
            outputs=convert_model.specs_from_metadata(reply.outputs),
        )

    request = inference.ModelMetadataRequest(name=model)
    return Operation(lambda stubs: stubs.inference.ModelMetadata, request, read)


def apply(
    yaml: str, resources: Sequence[Declared], *, dry_run: bool
) -> Operation[tuple[Applied, ...]]:
    """Apply."""
    request = control_pb2.ApplyRequest(
        yaml=yaml,
        resources=[convert_control.resource_to_pb(resource) for resource in resources],
        dry_run=dry_run,
    )

    def read(reply: control_pb2.ApplyResponse, _: int) -> tuple[Applied, ...]:
        return tuple(Applied(kind=a.kind, name=a.name, change=a.change) for a in reply.applied)

    return Operation(lambda stubs: stubs.control.Apply, request, read)


def get(kind: str, name: str) -> Operation[Declared]:
    """Get."""
    request = control_pb2.GetRequest(kind=kind, name=name)
    return Operation(
        lambda stubs: stubs.control.Get,
        request,
        lambda reply, _: convert_control.resource_from_pb(reply.resource),
    )


def list_resources(kind: str) -> Operation[tuple[Declared, ...]]:
    """List."""
    return Operation(
        lambda stubs: stubs.control.List,
        control_pb2.ListRequest(kind=kind),
        lambda reply, _: tuple(convert_control.resource_from_pb(r) for r in reply.resources),
    )


def describe(kind: str, name: str) -> Operation[Description]:
    """Describe."""

    def read(reply: control_pb2.DescribeResponse, _: int) -> Description:
        resource: Mapping[str, Any] = json.loads(reply.resource.json)
        facts: Mapping[str, Any] = json.loads(reply.facts_json or b"{}")
        return Description(kind=kind, name=name, resource=resource, facts=facts)

    request = control_pb2.DescribeRequest(kind=kind, name=name)
    return Operation(lambda stubs: stubs.control.Describe, request, read)


def delete(kind: str, name: str) -> Operation[None]:
    """Delete."""
    request = control_pb2.DeleteRequest(kind=kind, name=name)
    return Operation(lambda stubs: stubs.control.Delete, request, lambda *_: None)


def plan() -> Operation[Plan]:
    """GetPlan."""
    return Operation(
        lambda stubs: stubs.control.GetPlan,
        control_pb2.GetPlanRequest(),
        lambda reply, _: convert_control.plan_from_pb(reply),
    )


def routing_table() -> Operation[RoutingTable]:
    """GetRoutingTable."""
    return Operation(
        lambda stubs: stubs.control.GetRoutingTable,
        control_pb2.GetRoutingTableRequest(),
        lambda reply, _: convert_control.table_from_pb(reply),
    )


def cluster() -> Operation[ClusterView]:
    """GetCluster."""
    return Operation(
        lambda stubs: stubs.control.GetCluster,
        control_pb2.GetClusterRequest(),
        lambda reply, _: convert_control.cluster_from_pb(reply),
    )
