"""What a profiler says while it works; the caller decides how to show it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.names import ModelName
from nexus.profiler.measurement import BatchRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step was done. ``row`` is set when it was a batch.

    ``steps`` is the most there may be: measuring ends early when throughput has levelled off.
    """

    model: ModelName
    done: int
    steps: int
    what: str
    row: BatchRow | None = None


OnProgress: TypeAlias = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Show nothing."""
