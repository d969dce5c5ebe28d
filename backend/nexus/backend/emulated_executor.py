"""A device that is not there: it is busy for the profiled time and answers with the right shapes.

It does no arithmetic and imports neither torch nor numpy, so that many such backends fit on one
small machine. (Clockwork's dummy worker showed the use of this.) Everything around it is real.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from nexus.backend.emulated_chunk import EmulatedChunk, chunk_us_of, emulated_chunk
from nexus.backend.emulated_findings import EmulatedFindings, findings_of
from nexus.backend.executor import Answer, Left, Part
from nexus.core.errors import InvalidArgumentError
from nexus.core.model import Model
from nexus.core.profile import Profile
from nexus.core.request import Dispatch, ItemResult
from nexus.core.tensor import VARIABLE, DataType, Tensor, TensorSpec
from nexus.core.units import s_from_us

VARIABLE_SIZE = 1
"""What a variable dimension of an output (other than the batch) becomes."""

BYTES_ELEMENT = b"\0\0\0\0"
"""An empty element of a BYTES tensor."""

SLOWDOWN_MIN = 0.5


@dataclass(frozen=True, slots=True)
class EmulatedPrepared:
    """A dispatch for an emulated device: its findings are known before it runs."""

    items: int
    findings: tuple[ItemResult, ...]


class EmulatedModel:
    """A model as the emulated device holds it."""

    def __init__(self, model: Model, profile: Profile) -> None:
        """Raise InvalidArgumentError when the model's emulated parameters are malformed."""
        self.profile = profile
        self.memory_bytes = profile.memory_bytes
        self.chunk_us = chunk_us_of(model)
        self._model = model
        self._findings: EmulatedFindings | None = findings_of(model)
        self._tensors: dict[int, tuple[Tensor, ...]] = {}
        # The dispatch is held so that no other can take its identity.
        self._lefts: dict[int, tuple[EmulatedPrepared, float]] = {}

    def prepare(self, dispatch: Dispatch, tensors: tuple[Tensor, ...]) -> EmulatedPrepared:
        """Check the rows of the first tensor, unless crops are asked for; draw the findings."""
        if tensors and not dispatch.regions and dispatch.items > 1:
            _require_rows(tensors[0], dispatch.items)
        findings = self._findings.draw(dispatch, tensors) if self._findings else ()
        return EmulatedPrepared(dispatch.items, findings)

    def next_chunk(
        self, batch: Sequence[EmulatedPrepared], ends_with: EmulatedPrepared | None
    ) -> EmulatedChunk:
        """The next chunk of these."""
        items = sum(prepared.items for prepared in batch)
        return emulated_chunk(
            [self._left(prepared) for prepared in batch],
            self.profile.latency_us(min(items, self.profile.max_batch)),
            self.chunk_us,
            1.0 if ends_with is None else self._left(ends_with),
        )

    def keep(self, prepared: EmulatedPrepared, left: float) -> None:
        """Remember how much of a dispatch is left, for its next chunk; 0: it is finished."""
        self._lefts.pop(id(prepared), None)
        if left:
            self._lefts[id(prepared)] = prepared, left

    def _left(self, prepared: EmulatedPrepared) -> float:
        kept = self._lefts.get(id(prepared))
        return kept[1] if kept else 1.0

    def answer(self, prepared: EmulatedPrepared, outputs: None) -> Answer:  # noqa: ARG002 - no arithmetic, no outputs
        """The findings, and zeros for every declared output."""
        tensors = self._tensors.get(prepared.items)
        if tensors is None:
            tensors = tuple(_zeros(spec, prepared.items) for spec in self._model.outputs)
            self._tensors[prepared.items] = tensors
        return Answer(prepared.findings, tensors)


class EmulatedExecutor:
    """The emulated device. ``jitter`` is the relative standard deviation of a batch's time."""

    pooled = False

    def __init__(self, *, jitter: float = 0.0, seed: int = 0) -> None:
        """Every batch takes exactly its profiled time unless ``jitter`` is set."""
        self._jitter = jitter
        self._chance = random.Random(seed)  # noqa: S311 - jitter, not secrets

    async def load(self, model: Model, profile: Profile) -> EmulatedModel:
        """Take the profiled time to load."""
        loaded = EmulatedModel(model, profile)
        await asyncio.sleep(s_from_us(profile.load_us))
        return loaded

    async def execute(
        self, model: EmulatedModel, batch: Sequence[EmulatedPrepared]
    ) -> Sequence[None]:
        """Be busy for l(items)."""
        return await self._occupy(model.profile, batch)

    async def execute_group(
        self, profile: Profile, parts: Sequence[Part[EmulatedModel]]
    ) -> Sequence[None]:
        """Be busy for the group's l(items), as a device is that shares the prefix."""
        return await self._occupy(profile, [prepared for part in parts for prepared in part.batch])

    async def advance(
        self,
        model: EmulatedModel,
        batch: Sequence[EmulatedPrepared],
        ends_with: EmulatedPrepared | None,
    ) -> Sequence[Left | None]:
        """Be busy for a chunk; each dispatch advances by the chunk's share of l(items)."""
        if not batch:
            return []
        chunk = model.next_chunk(batch, ends_with)
        await asyncio.sleep(s_from_us(chunk.took_us * self._slowdown()))
        for prepared, left in zip(batch, chunk.lefts, strict=True):
            model.keep(prepared, left)
        return [Left(left) if left else None for left in chunk.lefts]

    def abandon(self, model: EmulatedModel, prepared: EmulatedPrepared) -> None:
        """Forget how far it is."""
        model.keep(prepared, 0.0)

    async def unload(self, model: EmulatedModel) -> None:
        """Nothing was occupied."""

    def close(self) -> None:
        """Nothing was started."""

    async def _occupy(self, profile: Profile, batch: Sequence[EmulatedPrepared]) -> Sequence[None]:
        latency_us = profile.latency_us(sum(prepared.items for prepared in batch))
        await asyncio.sleep(s_from_us(latency_us * self._slowdown()))
        return [None] * len(batch)

    def _slowdown(self) -> float:
        return max(SLOWDOWN_MIN, self._chance.gauss(1.0, self._jitter)) if self._jitter else 1.0


def _require_rows(tensor: Tensor, items: int) -> None:
    rows = tensor.shape[0] if tensor.shape else 0
    if rows != items:
        raise InvalidArgumentError(
            f"tensor {tensor.name!r} has {rows} rows, the dispatch {items} items",
            reason="invalid_shape",
        )


def _zeros(spec: TensorSpec, items: int) -> Tensor:
    rest = (VARIABLE_SIZE if size == VARIABLE else size for size in spec.shape[1:])
    shape = (items, *rest)
    elements = 1
    for size in shape:
        elements *= size
    is_bytes = spec.datatype is DataType.BYTES
    content = BYTES_ELEMENT * elements if is_bytes else bytes(elements * spec.datatype.item_bytes)
    return Tensor(spec.name, spec.datatype, shape, content)
