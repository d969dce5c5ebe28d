"""A recurrent network on a real device that runs by chunks (ADR 0028), and the model around it.

Dispatches join and leave between chunks, each as one sequence an item. Who is in a chunk, and who
is given up, is the backend engine's to say: the cellular engine below gets no deadlines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from nexus.backend.executor import Left
from nexus.backend.kernels.cellular.chunk_cost import ChunkCost
from nexus.backend.kernels.cellular.driver import CellularDriver, Over, Progress
from nexus.backend.kernels.cellular.engine import CellularEngine
from nexus.backend.kernels.cellular.events import EndReason, SequenceKey
from nexus.backend.kernels.cellular.limits import SLOTS_MAX, Limits
from nexus.backend.kernels.cellular.slot_runner import SlotRunner
from nexus.backend.kernels.weights import Floats
from nexus.backend.network import NetworkModel, Samples
from nexus.core.clock import MonotonicClock
from nexus.core.errors import InternalError, InvalidArgumentError
from nexus.core.request import Dispatch
from nexus.core.tensor import Tensor
from nexus.zoo.handler import Array

CHUNK_US = 5_000
"""About how long a chunk takes, and so how long one that comes meanwhile waits."""

AROUND_US = 200.0
"""What a chunk costs around the device: the way through the event loop, the engine, two threads."""

STEPS_MAX = 1 << 16
"""Of one sequence; a longer one is refused when it is prepared."""

ReadOut = Callable[[Floats], tuple[Array, ...]]
"""From the recurrent layer's outputs [items, steps, hidden] to the network's."""


@dataclass(slots=True)
class _Advancing:
    """A dispatch between its first chunk and its last; ``pieces`` are its items' outputs so far.

    ``samples`` is held so that no other dispatch's can take its identity.
    """

    samples: Samples
    steps: int
    pieces: dict[SequenceKey, list[Floats]] = field(default_factory=dict)

    def done(self) -> int:
        """Steps that all of its items have executed."""
        return min(sum(len(piece) for piece in pieces) for pieces in self.pieces.values())

    def outputs(self) -> Floats:
        """[items, steps, hidden]."""
        return np.stack([np.concatenate(pieces) for pieces in self.pieces.values()])


class ChunkedModel(NetworkModel):
    """A resident model whose batches are chunks. Only the device thread advances and abandons."""

    def __init__(
        self,
        whole: NetworkModel,
        *,
        runner: SlotRunner,
        weight_bytes: int,
        cost: ChunkCost,
        read_out: ReadOut,
    ) -> None:
        """Keep the sequences of a recurrent layer in the slots of ``runner``.

        Args:
            whole: The same model by whole batches: so it runs in a prefix group.
            runner: Its recurrent layer.
            weight_bytes: What ``runner`` occupies beside ``whole``.
            cost: What chunks of ``runner`` take.
            read_out: The rest of its network.
        """
        super().__init__(whole.network, whole.handler)
        limits = Limits(
            runner.slots, waiting=SLOTS_MAX, ready_steps=STEPS_MAX, join_wait_us=CHUNK_US
        )
        engine = CellularEngine(limits, cost.beside(AROUND_US), eager=False)
        self._driver = CellularDriver(engine, runner, MonotonicClock())
        self._input_size = runner.shape.input_size
        self._read_out = read_out
        self._weight_bytes = weight_bytes
        self._numbers = count()
        self._advancing: dict[int, _Advancing] = {}
        self._by_sequence: dict[SequenceKey, _Advancing] = {}

    @property
    def memory_bytes(self) -> int:
        """The layer's weights are here twice: for chunks, and for whole batches."""
        return super().memory_bytes + self._weight_bytes

    @property
    def chunk_us(self) -> int:
        """About how long a chunk takes."""
        return CHUNK_US

    def prepare(self, dispatch: Dispatch, tensors: tuple[Tensor, ...]) -> Samples:
        """See ``NetworkModel.prepare``; each item is a sequence of steps that the layer takes."""
        samples = super().prepare(dispatch, tensors)
        x = self._sequences(samples)
        wanted = x.ndim == 3 and x.shape[2] == self._input_size and x.dtype == np.float32  # noqa: PLR2004 - items, steps, input
        if not wanted or not 1 <= x.shape[1] <= STEPS_MAX:
            raise InvalidArgumentError(
                f"an item is {x.dtype}{list(x.shape[1:])}, must be float32[steps, "
                f"{self._input_size}] with 1..{STEPS_MAX} steps",
                reason="invalid_shape",
            )
        return samples

    def advance(
        self, batch: Sequence[Samples], ends_with: Samples | None
    ) -> list[tuple[Array, ...] | Left]:
        """See ``Executor.advance``."""
        advancing = [self._advancing.get(id(one)) or self._join(one) for one in batch]
        keys = [key for one in advancing for key in one.pieces]
        last = self._advancing.get(id(ends_with)) if ends_with is not None else None
        self._driver.advance(keys, next(iter(last.pieces)) if last else None)
        failure = self._take()
        if failure:
            for samples in batch:
                self.abandon(samples)
            raise InternalError(failure, reason="chunk_failed")
        return [self._result(one) for one in advancing]

    def abandon(self, prepared: Samples) -> None:
        """See ``Executor.abandon``."""
        one = self._forget(prepared)
        for key in one.pieces if one else ():
            self._driver.cancel(key)
        self._driver.take()

    def close(self) -> None:
        """Give the memory back, and forget every sequence."""
        for one in [one.samples for one in self._advancing.values()]:
            self.abandon(one)
        super().close()

    def _sequences(self, samples: Samples) -> Floats:
        (x,) = self._handler.collate(samples)
        return x

    def _join(self, samples: Samples) -> _Advancing:
        x = self._sequences(samples)
        one = self._advancing[id(samples)] = _Advancing(samples, x.shape[1])
        for row in x:
            key = next(self._numbers)
            one.pieces[key] = []
            self._by_sequence[key] = one
            self._driver.join(key, np.ascontiguousarray(row))
        return one

    def _take(self) -> str:
        """Keep what the chunk gave; why it failed, or nothing."""
        failure = ""
        for report in self._driver.take():
            match report:
                case Progress(key, _, y):
                    self._by_sequence[key].pieces[key].append(y)
                case Over(_, reason, message, _) if reason is not EndReason.FINISHED:
                    failure = message or reason.value
        return failure

    def _result(self, one: _Advancing) -> tuple[Array, ...] | Left:
        done = one.done()
        if done < one.steps:
            return Left(1.0 - done / one.steps)
        self._forget(one.samples)
        return self._read_out(one.outputs())

    def _forget(self, samples: Samples) -> _Advancing | None:
        one = self._advancing.pop(id(samples), None)
        for key in one.pieces if one else ():
            del self._by_sequence[key]
        return one
