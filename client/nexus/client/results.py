"""What calls return: frozen, typed, with the server's account of the time beside our own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nexus.client.outputs import array_from, list_from
from nexus.core.answer import StageResult
from nexus.core.errors import NexusError, NotFoundError
from nexus.core.finding import Finding
from nexus.core.tensor import Tensor, TensorSpec

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class InferResult:
    """The answer to one inference request.

    ``parameters`` is what the server said beside the tensors; the ``nexus_`` ones are properties
    here. ``round_trip_us`` is measured here, from the first attempt to the answer.
    """

    model: str
    version: str
    tensors: tuple[Tensor, ...]
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    round_trip_us: int = 0

    @property
    def session(self) -> str:
        """The session that served it; empty when the server is not ours."""
        return str(self.parameters.get("nexus_session", ""))

    @property
    def queue_us(self) -> int:
        """Time in the backend's queue."""
        return int(self.parameters.get("nexus_queue_us", 0))

    @property
    def execute_us(self) -> int:
        """Time on the device."""
        return int(self.parameters.get("nexus_execute_us", 0))

    @property
    def batch(self) -> int:
        """Items that executed together with these."""
        return int(self.parameters.get("nexus_batch", 0))

    def tensor(self, name: str) -> Tensor:
        """The output of that name; raise NotFoundError naming those there are."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        known = ", ".join(tensor.name for tensor in self.tensors) or "none"
        raise NotFoundError(f"model {self.model!r} gave no output {name!r}; it gave {known}")

    def array(self, name: str) -> "np.ndarray[Any, np.dtype[Any]]":
        """The output of that name as a numpy array, which needs numpy."""
        return array_from(self.tensor(name))

    def values(self, name: str) -> list[Any]:
        """The output of that name as a flat list, without numpy."""
        return list_from(self.tensor(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What a query found out about one frame.

    ``latency_us`` is the frontend's time from arrival to answer, ``round_trip_us`` ours. In a
    stream a frame that was not answered has its ``error`` here, and ``frame_id`` counts every frame
    that the source gave: replaced frames leave gaps.
    """

    query: str
    frame_id: int = 0
    stages: tuple[StageResult, ...] = ()
    latency_us: int = 0
    round_trip_us: int = 0
    error: NexusError | None = None

    @property
    def ok(self) -> bool:
        """Whether the frame was answered."""
        return self.error is None

    def raise_for_error(self) -> None:
        """Raise the frame's error, if it has one."""
        if self.error is not None:
            raise self.error

    def stage(self, name: str) -> StageResult | None:
        """The result of a stage, or None when it was not reached."""
        return next((stage for stage in self.stages if stage.stage == name), None)

    def findings(self, stage: str) -> tuple[Finding, ...]:
        """Everything a stage found, over all its items; empty when it was not reached."""
        result = self.stage(stage)
        if result is None:
            return ()
        return tuple(finding for item in result.outcome.items for finding in item.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model that a frontend knows. ``ready`` says whether a backend serves it now."""

    name: str
    version: str
    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """What a model takes and gives."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What ``apply`` did to one resource: ``created``, ``changed`` or ``unchanged``."""

    kind: str
    name: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A resource and what the cluster made of it, both as plain data."""

    kind: str
    name: str
    resource: Mapping[str, Any]
    facts: Mapping[str, Any]
