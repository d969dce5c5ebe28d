"""What the profiler needs of an executor: the very one that serves, so that it times the truth."""

from typing import Protocol

from nexus.core.model import Model
from nexus.zoo.handler import Array, Handler


class LoadedModel(Protocol):
    """A model resident on a device."""

    @property
    def handler(self) -> Handler:
        """Its pre- and post-processing."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Its weights and the most that its runs so far needed besides."""
        ...

    def run(self, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        """One batch through the network; returns when the outputs are there."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


class Executor(Protocol):
    """A device that models can be loaded on."""

    def load(self, model: Model) -> LoadedModel:
        """Make a model resident; raise NexusError when it cannot be."""
        ...
