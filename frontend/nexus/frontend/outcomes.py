"""Outcomes made here: the refusal by load, and several dispatches' outcomes joined into one."""

from collections.abc import Sequence

from nexus.core.request import DropReason, Outcome
from nexus.core.tensor import Tensor
from nexus.core.units import ms_from_us


def overloaded(owner: str, expected_us: int, left_us: int) -> Outcome:
    """The refusal by expected wait; retrying helps once the excess has drained."""
    return Outcome(
        reason=DropReason.OVERLOADED,
        message=f"{owner} is overloaded: an answer is expected in {ms_from_us(expected_us):.1f} ms "
        f"and {ms_from_us(max(0, left_us)):.1f} ms are left",
        expected_wait_us=expected_us,
        retry_after_us=max(1_000, expected_us - left_us),
    )


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
        served_by=max(outcome.served_by for outcome in outcomes),
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
