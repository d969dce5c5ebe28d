"""A batch's outputs back to its dispatches: exactly each one's own rows.

Peers have answered callers with other callers' rows (MLServer #1306), so this stands alone and is
tested alone.
"""

from collections.abc import Sequence

from nexus.core.errors import InternalError
from nexus.zoo.handler import Array


def scatter(outputs: tuple[Array, ...], counts: Sequence[int]) -> list[tuple[Array, ...]]:
    """Split dimension 0 of every output into runs of ``counts`` rows, in order.

    Raises:
        InternalError: an output has another number of rows than the counts add up to.
    """
    total = sum(counts)
    for index, output in enumerate(outputs):
        rows = output.shape[0] if output.ndim else 0
        if rows != total:
            raise InternalError(
                f"output {index} of the network has shape {list(output.shape)} for a batch of "
                f"{total} items: dimension 0 must be the batch",
                reason="invalid_output",
            )
    parts: list[tuple[Array, ...]] = []
    start = 0
    for count in counts:
        parts.append(tuple(output[start : start + count] for output in outputs))
        start += count
    return parts
