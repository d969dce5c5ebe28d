"""Made-up answers to street queries, for tests that need no model."""

import numpy as np

from nexus.client.results import QueryResult
from nexus.core.answer import StageResult
from nexus.core.finding import Finding, Region
from nexus.core.request import ItemResult, Outcome
from nexus.core.tensor import DataType, Tensor

MAN, CAR, SIGN = Region(10, 10, 30, 80), Region(60, 40, 80, 50), Region(8, 100, 90, 20)


def stage(
    name: str,
    *findings: Finding,
    regions: tuple[Region, ...] = (),
    looks: tuple[tuple[float, ...], ...] = (),
    failed: int = 0,
) -> StageResult:
    array = np.array(looks, np.float32)
    tensors = (Tensor("embedding", DataType.FP32, array.shape, array.tobytes()),) if looks else ()
    per_item = [ItemResult((f,)) for f in findings] if regions else [ItemResult(findings)]
    items = () if looks else tuple(per_item)
    return StageResult(
        stage=name,
        outcome=Outcome(items=items, tensors=tensors, batch=4),
        regions=regions,
        budget_us=300_000,
        latency_us=40_000,
        failed_items=failed,
    )


def street_answer(text: str = "CAM-03 12-00-00", latency_us: int = 200_000) -> QueryResult:
    """A man, a car and a sign."""
    return QueryResult(
        query="street",
        latency_us=latency_us,
        stages=(
            stage("detect", Finding("person", 0.9, MAN), Finding("car", 0.8, CAR)),
            stage("text", Finding("text", 0.9, SIGN)),
            stage("person", regions=(MAN,), looks=((1.0, 0.0),)),
            stage("vehicle", Finding("minivan", 0.6, CAR), regions=(CAR,)),
            stage("read", Finding(text, 0.9, SIGN), regions=(SIGN,)),
        ),
    )
