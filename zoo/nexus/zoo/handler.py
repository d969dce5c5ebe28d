"""What a model needs around its network: from a request's tensors to arrays, and back to results.

A handler holds no state between calls and may be called from several threads at once: the backend
runs pre- and post-processing in a pool while the device executes other batches (paper, section
6.3). The samples of one device batch may come from many dispatches; the backend calls ``collate``
on all of them together, and ``postprocess`` on the rows of each dispatch alone.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nexus.core.finding import Region
from nexus.core.request import ItemResult
from nexus.core.tensor import Tensor

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """One item, ready for the device.

    ``inputs`` are the network's inputs in order, without the batch dimension. ``context`` is what
    ``postprocess`` must know about this item (where a crop lies in its frame); only the handler
    that made it looks inside.
    """

    inputs: tuple[Array, ...]
    context: object = None


class Handler(Protocol):
    """Pre- and post-processing of one model."""

    def preprocess(
        self, tensors: tuple[Tensor, ...], regions: tuple[Region, ...]
    ) -> tuple[Sample, ...]:
        """One sample an item: each region of the frame, or each row of the tensors if none.

        Raises:
            InvalidArgumentError: the tensors are not what the model declares, or the image cannot
                be used (corrupt, empty, too large, a crop outside it).
        """
        ...

    def collate(self, samples: tuple[Sample, ...]) -> tuple[Array, ...]:
        """The network's inputs for a batch: dimension 0 is the sample."""
        ...

    def postprocess(
        self, outputs: tuple[Array, ...], samples: tuple[Sample, ...]
    ) -> tuple[tuple[ItemResult, ...], tuple[Tensor, ...]]:
        """The results of ``samples`` from their rows of the network's outputs.

        Returns one ItemResult a sample with its findings in pixels of the original frame (or none
        at all for models without findings), and the declared output tensors.
        """
        ...


def stack(samples: tuple[Sample, ...]) -> tuple[Array, ...]:
    """The usual ``collate``: every input stacked along a new first dimension."""
    return tuple(np.stack(arrays) for arrays in zip(*(s.inputs for s in samples), strict=True))
