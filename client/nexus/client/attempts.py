"""One call and its attempts, sans-io: how long the next may take, and whether there is a next."""

import random

import grpc

from nexus.client.retry import NOT_CONNECTED, RetryPolicy, retry_wait_us
from nexus.core.errors import DeadlineError, InvalidArgumentError, NexusError, UnavailableError
from nexus.core.units import US_PER_S, us_from_s
from nexus.rpc.status import error_from_rpc

TIMEOUT_US_MAX = 3_600 * US_PER_S

_NOT_CONNECTED_TEXTS = ("failed to connect to all addresses", "connections to all backends failing")
"""gRPC says so only when no connection was made; there is no code of its own for it."""


class Attempts:
    """Created when the call begins; the deadline holds for all its attempts together."""

    def __init__(
        self, policy: RetryPolicy, timeout_s: float, now_us: int, rng: random.Random
    ) -> None:
        """Raise InvalidArgumentError unless 0 < timeout_s <= one hour."""
        if not 0 < timeout_s <= TIMEOUT_US_MAX / US_PER_S:
            raise InvalidArgumentError(
                f"timeout_s={timeout_s} is not in (0, {TIMEOUT_US_MAX // US_PER_S}]",
                reason="invalid_timeout",
            )
        self._policy = policy
        self._rng = rng
        self._start_us = now_us
        self._deadline_us = now_us + us_from_s(timeout_s)
        self._made = 0

    def begin(self, now_us: int) -> float:
        """The gRPC timeout in seconds of the attempt that begins now."""
        left_us = self._deadline_us - now_us
        if left_us <= 0:
            raise DeadlineError("the deadline passed before the call was sent")
        self._made += 1
        return left_us / US_PER_S

    def failed(self, error: grpc.RpcError, now_us: int) -> float:
        """Seconds to wait before the next attempt; raise the NexusError when there is none."""
        meant = call_error(error)
        wait_us = retry_wait_us(
            self._policy, self._made, meant, self._deadline_us - now_us, self._rng.random()
        )
        if wait_us is None:
            raise meant from error
        return wait_us / US_PER_S

    def elapsed_us(self, now_us: int) -> int:
        """Since the call began."""
        return now_us - self._start_us


def call_error(error: grpc.RpcError) -> NexusError:
    """The error a failed call means; one that never left has the reason NOT_CONNECTED."""
    meant = error_from_rpc(error)
    if (
        isinstance(meant, UnavailableError)
        and meant.reason == UnavailableError.default_reason
        and any(text in meant.message for text in _NOT_CONNECTED_TEXTS)
    ):
        return UnavailableError(meant.message, reason=NOT_CONNECTED)
    return meant
