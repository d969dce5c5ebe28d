"""One chunk on a device that is not there: each dispatch advances by the chunk's share of l(b)."""

from collections.abc import Sequence
from typing import NamedTuple

from nexus.backend.chunks import whole_us

NOTHING = 1e-6
"""A share that is left by the rounding of the shares before it."""


class EmulatedChunk(NamedTuple):
    """It takes ``took_us``; ``lefts`` are the shares that are left after it, 0 of the finished."""

    took_us: int
    lefts: tuple[float, ...]


def emulated_chunk(
    lefts: Sequence[float], latency_us: int, chunk_us: int, ends_with: float = 1.0
) -> EmulatedChunk:
    """The next chunk of dispatches of which these shares are left.

    Args:
        lefts: Each in 0..1, of one dispatch each.
        latency_us: l(b) of all of them together.
        chunk_us: The longest that a chunk takes.
        ends_with: What is left of the one with whose end it ends at the latest.
    """
    longest = min(max(lefts, default=0.0), ends_with)
    took_us = min(chunk_us, whole_us(longest * latency_us))
    share = took_us / latency_us
    after = (left - share for left in lefts)
    return EmulatedChunk(took_us, tuple(left if left > NOTHING else 0.0 for left in after))
