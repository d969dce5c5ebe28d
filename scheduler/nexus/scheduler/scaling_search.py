"""The largest common factor on rates at which something still fits, by bisection. Pure."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def largest_scale(
    attempt: Callable[[float], T | None], low: float, high: float, best: T, *, steps: int
) -> tuple[float, T]:
    """The largest factor found between ``low`` and ``high``, and what ``attempt`` made of it.

    ``best`` is what fits at ``low``; None of ``attempt`` says that a factor does not.
    """
    for _ in range(steps):
        middle = (low + high) / 2
        found = attempt(middle)
        if found is None:
            high = middle
        else:
            low, best = middle, found
    return low, best
