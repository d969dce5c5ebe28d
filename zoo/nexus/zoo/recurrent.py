"""Networks of which a backend may run a few steps at a time (ADR 0028)."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class RecurrentNetwork(Protocol):
    """One LSTM or GRU with ``batch_first`` in one direction, and a head on its outputs.

    ``network(x)``, with ``x`` [batch, time, inputs], is
    ``network.read_out(network.recurrent(x)[0])``; ``read_out`` treats each row of the batch by
    itself.
    """

    recurrent: nn.LSTM | nn.GRU

    def read_out(self, states: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The network's outputs from the recurrent layer's [batch, time, hidden]."""
        ...
