"""What a device does for the backend: hold models, and execute one batch at a time.

A model's way of preparing and answering is part of what the executor loads, because an emulated
device neither decodes images nor needs numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from nexus.core.model import Model
from nexus.core.profile import Profile
from nexus.core.request import Dispatch, ItemResult
from nexus.core.tensor import Tensor

Prepared: TypeAlias = Any
"""A dispatch ready for the device; only the model that made it looks inside."""

Outputs: TypeAlias = Any
"""One dispatch's rows of what the device gave; only the model looks inside."""


@dataclass(frozen=True, slots=True)
class Left:
    """A dispatch is not finished: ``share`` of it is left, above 0 and at most 1."""

    share: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a dispatch gave: findings by item (or none at all), and tensors batched over items."""

    items: tuple[ItemResult, ...] = ()
    tensors: tuple[Tensor, ...] = ()


class LoadedModel(Protocol):
    """A resident model. ``prepare`` and ``answer`` may run in several threads at once."""

    @property
    def memory_bytes(self) -> int:
        """What it occupies on the device."""
        ...

    @property
    def chunk_us(self) -> int:
        """About how long a chunk takes, if it runs by chunks (ADR 0028); 0: it does not."""
        ...

    def prepare(self, dispatch: Dispatch, tensors: tuple[Tensor, ...]) -> Prepared:
        """Decode, crop, resize, check.

        Raises:
            InvalidArgumentError: the tensors are not what the model takes, or are not as many
                items as the dispatch says.
        """
        ...

    def answer(self, prepared: Prepared, outputs: Outputs) -> Answer:
        """Turn one dispatch's outputs into its answer."""
        ...


ModelT = TypeVar("ModelT", bound=LoadedModel)


@dataclass(frozen=True, slots=True)
class Part(Generic[ModelT]):
    """The dispatches of one model in the batch of a prefix group."""

    model: ModelT
    batch: Sequence[Prepared]


class Executor(Protocol[ModelT]):
    """One device. ``pooled``: preparing and answering is work for threads, not the event loop."""

    pooled: bool

    async def load(self, model: Model, profile: Profile) -> ModelT:
        """Make a model resident without holding up the event loop or the device.

        Raises:
            NexusError: why it cannot be.
        """
        ...

    async def execute(self, model: ModelT, batch: Sequence[Prepared]) -> Sequence[Outputs]:
        """Run one batch of dispatches; the outputs are in the order of ``batch``.

        Raises:
            NexusError: why it failed, for instance that memory ran out.
        """
        ...

    async def execute_group(
        self, profile: Profile, parts: Sequence[Part[ModelT]]
    ) -> Sequence[Outputs]:
        """Run one batch of a prefix group, whose own profile this is; outputs in order of parts.

        Raises:
            NexusError: why it failed.
        """
        ...

    async def advance(
        self, model: ModelT, batch: Sequence[Prepared], ends_with: Prepared | None
    ) -> Sequence[Outputs | Left]:
        """Run one chunk of a model that runs by chunks.

        Args:
            model: The model.
            batch: What to advance. The same object is the same dispatch as in the chunk before.
            ends_with: The one of them with whose end the chunk ends at the latest.

        Returns:
            In the order of ``batch``, the outputs, or how much is left.

        Raises:
            NexusError: why it failed; all of ``batch`` is lost.
        """
        ...

    def abandon(self, model: ModelT, prepared: Prepared) -> None:
        """A dispatch that was advanced is not wanted any more, nor is it in a batch again."""
        ...

    async def unload(self, model: ModelT) -> None:
        """Give the model's memory back."""
        ...

    def close(self) -> None:
        """End the executor's threads."""
        ...
