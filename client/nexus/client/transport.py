"""Runs operations over channels: the only difference between the sync and the aio client."""

import asyncio
import random
import time
from typing import TypeVar

import grpc
import grpc.aio

from nexus.client.attempts import Attempts
from nexus.client.connection import ChannelRing, ConnectionSettings
from nexus.client.operations import Operation
from nexus.client.retry import RetryPolicy
from nexus.client.stubs import Stubs
from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import FailedPreconditionError

DEFAULT_TIMEOUT_S = 30.0
"""No call waits for ever. A query's SLO, or a shorter ``timeout_s``, ends it sooner."""

ResultT = TypeVar("ResultT")


class Transport:
    """Blocking calls; threads may share it."""

    def __init__(self, settings: ConnectionSettings, policy: RetryPolicy) -> None:
        """Open no connection yet."""
        self._ring = ChannelRing(settings, _insecure_channel, Stubs)
        self._policy = policy
        self._clock: Clock = MonotonicClock()
        self._rng = random.Random()  # noqa: S311 - spreads retries, no secret
        self._closed = False

    def run(self, operation: Operation[ResultT], timeout_s: float | None) -> ResultT:
        """Make the call, and again where that is safe; raise the NexusError it ends with."""
        clock = self._clock
        attempts = Attempts(self._policy, _timeout(timeout_s), clock.now_us(), self._rng)
        while True:
            _require_open(self._closed)
            call = operation.rpc(self._ring.next())
            try:
                reply = call(operation.request, timeout=attempts.begin(clock.now_us()))
            except grpc.RpcError as error:
                wait_s = attempts.failed(error, clock.now_us())
            else:
                return operation.read(reply, attempts.elapsed_us(clock.now_us()))
            time.sleep(wait_s)

    def close(self) -> None:
        """Close the connections; calls in flight end as cancelled."""
        self._closed = True
        for channel in self._ring.channels:
            channel.close()


class AsyncTransport:
    """The same for asyncio; cancelling the task cancels the call on the server too."""

    def __init__(self, settings: ConnectionSettings, policy: RetryPolicy) -> None:
        """Open no connection yet; call it where an event loop runs."""
        self._ring = ChannelRing(settings, _insecure_aio_channel, Stubs)
        self._policy = policy
        self._clock: Clock = MonotonicClock()
        self._rng = random.Random()  # noqa: S311 - spreads retries, no secret
        self._closed = False

    async def run(self, operation: Operation[ResultT], timeout_s: float | None) -> ResultT:
        """Make the call, and again where that is safe; raise the NexusError it ends with."""
        clock = self._clock
        attempts = Attempts(self._policy, _timeout(timeout_s), clock.now_us(), self._rng)
        while True:
            _require_open(self._closed)
            call = operation.rpc(self._ring.next())
            try:
                reply = await call(operation.request, timeout=attempts.begin(clock.now_us()))
            except grpc.RpcError as error:
                wait_s = attempts.failed(error, clock.now_us())
            else:
                return operation.read(reply, attempts.elapsed_us(clock.now_us()))
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Close the connections; calls in flight end as cancelled."""
        self._closed = True
        for channel in self._ring.channels:
            await channel.close()


def _insecure_channel(address: str, options: list[tuple[str, int]]) -> grpc.Channel:
    return grpc.insecure_channel(address, options)


def _insecure_aio_channel(address: str, options: list[tuple[str, int]]) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options)


def _timeout(timeout_s: float | None) -> float:
    return DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s


def _require_open(closed: bool) -> None:
    if closed:
        raise FailedPreconditionError("this client is closed", reason="client_closed")
