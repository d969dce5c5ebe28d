"""A network on a real device, and the model around it: handler in front, handler behind."""

from collections.abc import Sequence
from typing import Protocol

from nexus.backend.executor import Answer, Left
from nexus.backend.scatter import scatter
from nexus.core.errors import InvalidArgumentError
from nexus.core.request import Dispatch
from nexus.core.tensor import Tensor
from nexus.zoo.handler import Array, Handler, Sample

Samples = tuple[Sample, ...]


class Network(Protocol):
    """Arrays in, arrays out; dimension 0 is the batch. Only the device thread calls ``run``."""

    @property
    def memory_bytes(self) -> int:
        """What it occupies on the device."""
        ...

    def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """Execute one batch.

        Raises:
            InternalError: the network failed; reason ``out_of_memory`` when that is why.
        """
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class NetworkModel:
    """A resident model with a real network."""

    def __init__(self, network: Network, handler: Handler) -> None:
        """``handler`` prepares what ``network`` executes."""
        self.network = network
        self._handler = handler

    @property
    def handler(self) -> Handler:
        """What prepares for the network, and reads its outputs."""
        return self._handler

    @property
    def memory_bytes(self) -> int:
        """What the network occupies on the device."""
        return self.network.memory_bytes

    @property
    def chunk_us(self) -> int:
        """Its batches run as a whole."""
        return 0

    def prepare(self, dispatch: Dispatch, tensors: tuple[Tensor, ...]) -> Samples:
        """One sample an item; raise InvalidArgumentError when they are not as many as announced."""
        samples = self._handler.preprocess(tensors, dispatch.regions)
        if len(samples) != dispatch.items:
            raise InvalidArgumentError(
                f"the tensors hold {len(samples)} items, the dispatch says {dispatch.items}",
                reason="invalid_shape",
            )
        return samples

    def execute(self, batch: Sequence[Samples]) -> list[tuple[Array, ...]]:
        """Each dispatch's rows of the outputs, in the order of ``batch``.

        Where dispatches cannot share a batch, because their items differ in shape, each runs alone:
        one caller's odd input must not fail the others.
        """
        together = tuple(sample for samples in batch for sample in samples)
        try:
            inputs = self._handler.collate(together)
        except InvalidArgumentError:
            if len(batch) == 1:
                raise
            return [self.execute((samples,))[0] for samples in batch]
        return scatter(self.network.run(inputs), [len(samples) for samples in batch])

    def advance(
        self, batch: Sequence[Samples], ends_with: Samples | None
    ) -> list[tuple[Array, ...] | Left]:
        """See ``Executor.advance``; what does not run by chunks is finished by one."""
        del ends_with
        return list(self.execute(batch))

    def abandon(self, prepared: Samples) -> None:
        """See ``Executor.abandon``: nothing is kept here."""

    def close(self) -> None:
        """Give the memory back."""
        self.network.close()

    def answer(self, prepared: Samples, outputs: tuple[Array, ...]) -> Answer:
        """The handler's results for these samples."""
        return Answer(*self._handler.postprocess(outputs, prepared))
