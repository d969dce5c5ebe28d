"""One chunk on a device that is not there: each dispatch advances by the chunk's share of l(b).

An emulated model runs by chunks if it says so: ``Model.parameters["emulated_chunk_ms"] = "5"``
(ADR 0028).
"""

from collections.abc import Sequence
from typing import NamedTuple

from nexus.backend.chunks import whole_us
from nexus.core.errors import InvalidArgumentError
from nexus.core.model import Model
from nexus.core.units import us_from_ms

PARAMETER = "emulated_chunk_ms"
CHUNK_MS_MIN = 0.1
CHUNK_MS_MAX = 1_000.0

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


def chunk_us_of(model: Model) -> int:
    """How long the model's chunks are to be; 0: its batches run as a whole.

    Raises:
        InvalidArgumentError: not a number in CHUNK_MS_MIN..CHUNK_MS_MAX.
    """
    text = model.parameters.get(PARAMETER)
    if text is None:
        return 0
    try:
        chunk_ms = float(text)
    except ValueError:
        chunk_ms = 0.0
    if not CHUNK_MS_MIN <= chunk_ms <= CHUNK_MS_MAX:
        raise InvalidArgumentError(
            f"model {model.name!r}: {PARAMETER} is {text!r}, must be a number in "
            f"{CHUNK_MS_MIN:g}..{CHUNK_MS_MAX:g}",
            reason="invalid_model",
        )
    return us_from_ms(chunk_ms)
