"""What one stage of a query gave for one frame."""

from dataclasses import dataclass

from nexus.core.finding import Region
from nexus.core.names import StageName
from nexus.core.request import DropReason, ItemResult
from nexus.core.tensor import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """A stage that was reached, with one entry of ``items`` for each item, in order.

    An item that failed has no findings and counts in ``failed``; ``reason`` is then that of the
    first and ``message`` names them all. A stage whose parents all failed has no items and the
    reason UPSTREAM. ``regions`` is empty when an item looked at the whole frame; ``skipped`` counts
    crops beyond the limits, never sent. The times are of the slowest dispatch.
    """

    stage: StageName
    reason: DropReason | None = None
    message: str = ""
    items: tuple[ItemResult, ...] = ()
    regions: tuple[Region, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    skipped: int = 0
    failed: int = 0
    budget_us: int = 0
    latency_us: int = 0
    queue_us: int = 0
    execute_us: int = 0
    batch: int = 0
