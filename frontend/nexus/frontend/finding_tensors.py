"""Findings as tensors, for callers that speak the Open Inference Protocol.

Used when a backend sends findings and no tensors: ``labels`` BYTES, ``scores`` FP32 (both [items,
longest]) and ``boxes`` INT32 [items, longest, 4] (x, y, width, height). Items have different
numbers of findings; rows are filled up with an empty label, score 0 and an empty box.
"""

import struct
from collections.abc import Sequence

from nexus.core.finding import Finding
from nexus.core.request import ItemResult
from nexus.core.tensor import DataType, Tensor, pack_bytes_elements

_NO_BOX = (0, 0, 0, 0)


def finding_tensors(items: Sequence[ItemResult]) -> tuple[Tensor, ...]:
    """The three tensors; ``items`` must not be empty."""
    longest = max(len(item.findings) for item in items)
    cells: list[Finding | None] = []
    for item in items:
        cells += [*item.findings, *[None] * (longest - len(item.findings))]
    shape = (len(items), longest)
    labels = pack_bytes_elements(cell.label.encode() if cell else b"" for cell in cells)
    scores = struct.pack(f"<{len(cells)}f", *(cell.score if cell else 0.0 for cell in cells))
    sides = [side for cell in cells for side in _box(cell)]
    return (
        Tensor("labels", DataType.BYTES, shape, labels),
        Tensor("scores", DataType.FP32, shape, scores),
        Tensor("boxes", DataType.INT32, (*shape, 4), struct.pack(f"<{len(sides)}i", *sides)),
    )


def _box(finding: Finding | None) -> tuple[int, int, int, int]:
    if finding is None or finding.region is None:
        return _NO_BOX
    region = finding.region
    return (region.x, region.y, region.width, region.height)
