"""The street query in one process: the zoo's models called one after the other, no cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import yaml

from nexus.client.results import QueryResult
from nexus.core.answer import StageResult
from nexus.core.document import from_data
from nexus.core.errors import NotFoundError
from nexus.core.finding import Region
from nexus.core.model import EngineKind, Model
from nexus.core.query import Per, Query, Stage
from nexus.core.request import ItemResult, Outcome
from nexus.core.tensor import DataType, Tensor, pack_bytes_elements
from nexus.core.units import us_from_ms
from nexus.demo.street.camera import VIDEO
from nexus.demo.street.street import street_yaml
from nexus.zoo.handler import Array
from nexus.zoo.handlers import handler_for
from nexus.zoo.networks import build_network
from nexus.zoo.weights import resolve

Network = Callable[..., tuple[Array, ...]]


@dataclass(frozen=True)
class StreetDocuments:
    """street.yaml as the core's dataclasses."""

    models: dict[str, Model]
    query: Query


def street_documents() -> StreetDocuments:
    documents = list(yaml.safe_load_all(street_yaml()))
    models = {}
    query: Query | None = None
    for document in documents:
        kind = document.pop("kind")
        if kind == "Model":
            models[document["name"]] = from_data(Model, document)
        else:
            document["slo_us"] = us_from_ms(document.pop("slo_ms"))
            document["expected_rate"] = document.pop("rate")
            query = from_data(Query, document)
    assert query is not None
    return StreetDocuments(models, query)


class DirectModel:
    """One model: its handler around its network, one batch a call."""

    def __init__(self, model: Model) -> None:
        self.handler = handler_for(model)
        self.network = (
            onnx_network(model) if model.engine is EngineKind.ONNX else torch_network(model)
        )

    def __call__(
        self, frame: bytes, regions: tuple[Region, ...] = ()
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        samples = self.handler.preprocess((image_tensor(frame),), regions)
        outputs = self.network(*self.handler.collate(samples))
        return self.handler.postprocess(outputs, samples)


class DirectClient:
    """Answers street queries by running every stage here; a QueryClient for run_street."""

    def __init__(self, query: Query, models: dict[str, DirectModel]) -> None:
        self._query = query
        self._models = models

    async def query(
        self,
        name: str,
        frame: bytes,
        *,
        timeout_s: float | None = None,
        frame_id: int = 0,
        stream_id: str = "",
    ) -> QueryResult:
        del timeout_s, stream_id
        done: dict[str, StageResult] = {}
        for stage in self._query.stages:
            result = self._run(stage, frame, done)
            if result:
                done[stage.name] = result
        return QueryResult(
            query=name, frame_id=frame_id, stages=tuple(done.values()), latency_us=1_000
        )

    def _run(self, stage: Stage, frame: bytes, done: dict[str, StageResult]) -> StageResult | None:
        regions: tuple[Region, ...] = ()
        if stage.per is Per.FINDING:
            regions = regions_of(stage, done)
            if not regions:
                return None
        items, tensors = self._models[stage.model](frame, regions)
        outcome = Outcome(items=items, tensors=tensors, batch=max(1, len(regions)))
        return StageResult(
            stage=stage.name, outcome=outcome, regions=regions, budget_us=700_000, latency_us=500
        )


def regions_of(stage: Stage, done: dict[str, StageResult]) -> tuple[Region, ...]:
    """The parents' findings that the stage is interested in, best first."""
    findings = [
        finding
        for parent in stage.after
        for item in done[parent].outcome.items
        for finding in item.findings
        if finding.region
        and finding.score >= stage.min_score
        and (not stage.each or finding.label in stage.each)
    ]
    return tuple(f.region for f in findings[: stage.fan_out_max] if f.region)


def image_tensor(*frames: bytes) -> Tensor:
    return Tensor("image", DataType.BYTES, (len(frames),), pack_bytes_elements(frames))


def torch_network(model: Model) -> Network:
    network = build_network(model)

    def run(*inputs: Array) -> tuple[Array, ...]:
        with torch.inference_mode():
            outputs = network(*(torch.from_numpy(array) for array in inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.numpy() for output in outputs)

    return run


def onnx_network(model: Model) -> Network:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(resolve(model.weights)), options)
    names = [spec.name for spec in session.get_inputs()]

    def run(*inputs: Array) -> tuple[Array, ...]:
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
        return tuple(np.asarray(output) for output in outputs)

    return run


def missing_weights() -> str:
    """Why the street's models cannot be loaded here; empty when they can."""
    try:
        for weights in (VIDEO, *(m.weights for m in street_documents().models.values())):
            path: Path = resolve(weights)
            assert path.is_file()
    except NotFoundError as error:
        return error.message
    return ""
