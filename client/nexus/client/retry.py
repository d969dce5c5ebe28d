"""When a failed call is tried again: a pure rule.

Only what certainly was not accepted is repeated: the connection was never made, or the server said
that it has no route to a backend yet, or that it is draining. Never a refusal by load
(RESOURCE_EXHAUSTED: retrying makes an overload worse), never a missed deadline, and never a call
whose connection broke after it was sent (it may have been executed). The waits grow, are spread at
random so that callers do not come back together, and end with the deadline.
"""

from dataclasses import dataclass

from nexus.core.errors import NexusError, UnavailableError
from nexus.core.units import US_PER_S, us_from_ms

NOT_CONNECTED = "not_connected"
"""Our own reason: no connection was made, so the request never left."""

SAFE_REASONS = frozenset({NOT_CONNECTED, "no_route", "draining"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and after which waits. ``attempts_max`` counts the first attempt; 1 is never."""

    attempts_max: int = 6
    wait_first_us: int = 20_000
    wait_limit_us: int = 2 * US_PER_S


def retry_wait_us(
    policy: RetryPolicy, attempts: int, error: NexusError, left_us: int, share: float
) -> int | None:
    """How long to wait before the next attempt; None: give up and raise ``error``.

    Args:
        policy: the limits.
        attempts: how many were made.
        error: what the last one ended with.
        left_us: time to the deadline.
        share: uniform in [0, 1), the spread.
    """
    if not isinstance(error, UnavailableError) or error.reason not in SAFE_REASONS:
        return None
    if attempts >= policy.attempts_max:
        return None
    ceiling_us = min(policy.wait_first_us << (attempts - 1), policy.wait_limit_us)
    wait_us = max(round(ceiling_us * (0.5 + share / 2)), retry_after_us(error))
    return wait_us if wait_us < left_us else None


def retry_after_us(error: NexusError) -> int:
    """What the server asked us to wait; 0 when it did not say."""
    try:
        return us_from_ms(float(error.details.get("retry_after_ms", "0")))
    except ValueError:
        return 0
