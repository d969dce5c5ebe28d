"""Findings as tensors, for callers that speak the Open Inference Protocol.

A model with findings may declare any of the outputs ``labels`` BYTES, ``scores`` FP32 and ``boxes``
INT32 (x, y, width, height). Items have different numbers of findings, and a tensor is a rectangle:
rows are filled up to the longest with an empty label, score 0 and an empty box.
"""

import numpy as np

from nexus.core.errors import InvalidArgumentError
from nexus.core.finding import Finding
from nexus.core.model import Model
from nexus.core.request import ItemResult
from nexus.core.tensor import DataType, Tensor
from nexus.zoo.arrays import tensor_from, text_tensor

OUTPUTS = {"labels": DataType.BYTES, "scores": DataType.FP32, "boxes": DataType.INT32}


def require_finding_outputs(model: Model) -> tuple[str, ...]:
    """The declared outputs' names; raise InvalidArgumentError when one is not of OUTPUTS."""
    for spec in model.outputs:
        if OUTPUTS.get(spec.name) is not spec.datatype:
            known = ", ".join(f"{name} {kind.value}" for name, kind in OUTPUTS.items())
            raise InvalidArgumentError(
                f"model {model.name!r}: handler {model.handler!r} gives the outputs {known}, "
                f"not {spec.name} {spec.datatype.value}",
                reason="invalid_model",
            )
    return tuple(spec.name for spec in model.outputs)


def tensors_from_findings(
    items: tuple[ItemResult, ...], names: tuple[str, ...]
) -> tuple[Tensor, ...]:
    """The named outputs, [items, longest] (boxes [items, longest, 4])."""
    longest = max(len(item.findings) for item in items)
    table = [[*item.findings, *[None] * (longest - len(item.findings))] for item in items]
    make = {"labels": _labels, "scores": _scores, "boxes": _boxes}
    return tuple(make[name](table) for name in names)


def _labels(table: list[list[Finding | None]]) -> Tensor:
    texts = [finding.label if finding else "" for row in table for finding in row]
    return text_tensor("labels", (len(table), len(table[0])), texts)


def _scores(table: list[list[Finding | None]]) -> Tensor:
    scores = [[finding.score if finding else 0.0 for finding in row] for row in table]
    array = np.array(scores, np.float32).reshape(len(table), len(table[0]))
    return tensor_from("scores", DataType.FP32, array)


def _boxes(table: list[list[Finding | None]]) -> Tensor:
    boxes = np.zeros((len(table), len(table[0]), 4), np.int32)
    for i, row in enumerate(table):
        for j, finding in enumerate(row):
            if finding and finding.region:
                region = finding.region
                boxes[i, j] = (region.x, region.y, region.width, region.height)
    return tensor_from("boxes", DataType.INT32, boxes)
