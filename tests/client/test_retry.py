"""Only what was certainly not accepted is tried again, within the deadline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.client.retry import NOT_CONNECTED, RetryPolicy, retry_wait_us
from nexus.core.errors import (
    DeadlineError,
    InternalError,
    NexusError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

POLICY = RetryPolicy(attempts_max=4, wait_first_us=10_000, wait_limit_us=30_000)
LONG_US = 60_000_000


@pytest.mark.parametrize("reason", [NOT_CONNECTED, "no_route", "draining"])
def test_retry_repeats_what_was_not_accepted(reason: str) -> None:
    error = UnavailableError("away", reason=reason)
    assert retry_wait_us(POLICY, 1, error, LONG_US, 0.5) is not None


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("full"),
        RefusedError("full", reason="no_route"),
        DeadlineError("late"),
        NotFoundError("what?"),
        InternalError("broken"),
        UnavailableError("the connection broke"),
        UnavailableError("the backend died with it", reason="backend_lost"),
    ],
)
def test_retry_never_repeats_anything_else(error: NexusError) -> None:
    assert retry_wait_us(POLICY, 1, error, LONG_US, 0.5) is None


@given(attempts=st.integers(1, 3), share=st.floats(0, 1, exclude_max=True))
def test_retry_waits_grow_within_limits(attempts: int, share: float) -> None:
    error = UnavailableError("away", reason="draining")
    wait_us = retry_wait_us(POLICY, attempts, error, LONG_US, share)
    ceiling_us = min(10_000 * 2 ** (attempts - 1), 30_000)
    assert wait_us is not None
    assert ceiling_us / 2 <= wait_us <= ceiling_us


def test_retry_gives_up_after_the_last_attempt_and_before_the_deadline() -> None:
    error = UnavailableError("away", reason="draining")
    assert retry_wait_us(POLICY, 4, error, LONG_US, 0.5) is None
    assert retry_wait_us(POLICY, 1, error, 5_000, 0.5) is None


def test_retry_waits_as_long_as_the_server_asks() -> None:
    error = UnavailableError("soon", reason="no_route", details={"retry_after_ms": "250"})
    assert retry_wait_us(POLICY, 1, error, LONG_US, 0.0) == 250_000
    odd = UnavailableError("soon", reason="no_route", details={"retry_after_ms": "soon"})
    assert retry_wait_us(POLICY, 1, odd, LONG_US, 0.0) == 5_000
