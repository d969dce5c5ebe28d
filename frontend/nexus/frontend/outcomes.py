"""Joining the outcomes of several dispatches into the one outcome of their request."""

from collections.abc import Sequence

from nexus.core.request import Outcome
from nexus.core.tensor import Tensor


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """All dispatches of a request as one, in item order: the first failure, or all results.

    Times and batch are those of the slowest part: the request was as slow as it.
    """
    if len(outcomes) == 1:
        return outcomes[0]
    for outcome in outcomes:
        if not outcome.ok:
            return outcome
    return Outcome(
        tensors=joined_tensors([outcome.tensors for outcome in outcomes]),
        items=tuple(item for outcome in outcomes for item in outcome.items),
        queue_us=max(outcome.queue_us for outcome in outcomes),
        execute_us=max(outcome.execute_us for outcome in outcomes),
        batch=max(outcome.batch for outcome in outcomes),
    )


def joined_tensors(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Tensors of the same names and row shapes, stacked along dimension 0.

    Parts that do not fit together (a model with outputs that vary in size) give no tensors at all:
    rows must not be attributed to the wrong items.
    """
    if not parts or any(len(part) != len(parts[0]) for part in parts):
        return ()
    stacked = tuple(_stacked(column) for column in zip(*parts, strict=True))
    return tuple(tensor for tensor in stacked if tensor is not None)


def _stacked(parts: tuple[Tensor, ...]) -> Tensor | None:
    first = parts[0]
    alike = {(part.name, part.datatype, part.shape[1:]) for part in parts}
    if len(alike) != 1 or not all(part.shape for part in parts):
        return None
    rows = sum(part.shape[0] for part in parts)
    content = b"".join(part.content for part in parts)
    return Tensor(first.name, first.datatype, (rows, *first.shape[1:]), content)
