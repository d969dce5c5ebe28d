"""Open-loop load: every request is sent when it is due, whether or not earlier ones are answered.

A closed loop would slow down with the cluster and so hide its queues. How late each request was
really sent is measured too, so that a generator that is the bottleneck is seen.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nexus.cli.bench_report import BenchReport, Tally
from nexus.cli.bench_schedule import Source
from nexus.cli.framed_caller import FramedCaller
from nexus.client.connection import settings_for
from nexus.client.operations import Operation
from nexus.client.retry import RetryPolicy
from nexus.client.transport import AsyncTransport
from nexus.core.clock import Clock, MonotonicClock
from nexus.core.errors import DeadlineError, NexusError
from nexus.core.tensor import Tensor
from nexus.core.units import US_PER_S, s_from_us
from nexus.rpc.convert_inference import tensors_from_request
from nexus.rpc.limits import MESSAGE_BYTES_MAX
from nexus.rpc.pauses import shorten_pauses

IN_FLIGHT_MAX = 20_000
"""A request that is due while so many are unanswered is not sent, and counted as unsent."""
GRACE_S = 1.0
"""Calls may take twice their SLO and this: a late answer is to be seen as late."""

BenchOperation = Operation[Any]
"""The answer is only timed, whatever it is."""


@dataclass(slots=True)
class LoadGenerator:
    """Sends a schedule's requests over connections of its own and keeps the tallies.

    ``operations`` holds the request of each source, built once: the bench measures the cluster.
    Requests of sessions go as frames to the addresses in ``framed``, if there are any.
    """

    addresses: tuple[str, ...]
    operations: Mapping[Source, BenchOperation]
    connections: int = 1
    framed: tuple[str, ...] = ()
    clock: Clock = field(default_factory=MonotonicClock)
    _tallies: dict[Source, Tally] = field(default_factory=dict)
    _lags_us: list[int] = field(default_factory=list)
    _unsent: int = 0
    _tensors: dict[Source, tuple[Tensor, ...]] = field(default_factory=dict)
    _ring: Iterator[FramedCaller] = field(default_factory=lambda: iter(()))

    async def run(
        self, schedule: Iterable[tuple[int, Source]], *, warmup_us: int, duration_us: int
    ) -> BenchReport:
        """Send everything and wait for the last answer; what was due in the warm-up counts not."""
        self._tallies = {source: Tally() for source in self.operations}
        settings = settings_for(self.addresses, self.connections, MESSAGE_BYTES_MAX)
        transport = AsyncTransport(settings, RetryPolicy(attempts_max=1))
        callers = [await FramedCaller.connect(address, self.clock) for address in self.framed]
        self._ring = itertools.cycle(callers)
        if self.framed:
            self._tensors = {
                source: tensors_from_request(operation.request)
                for source, operation in self.operations.items()
                if not source.is_query
            }
        calls: set[asyncio.Task[None]] = set()
        shorten_pauses()  # The generator's own would be taken for the cluster's.
        start_us = self.clock.now_us()
        for due_us, source in schedule:
            await self._sleep_until(start_us + due_us)
            counts = due_us >= warmup_us
            if len(calls) >= IN_FLIGHT_MAX:
                self._unsent += counts
                continue
            call = asyncio.create_task(self._call(transport, source, start_us + due_us, counts))
            calls.add(call)
            call.add_done_callback(calls.discard)
        await asyncio.gather(*calls)
        for caller in callers:
            await caller.close()
        await transport.close()
        return BenchReport(
            seconds=(duration_us - warmup_us) / US_PER_S,
            tallies=self._tallies,
            lags_us=self._lags_us,
            unsent=self._unsent,
        )

    async def _sleep_until(self, when_us: int) -> None:
        left_us = when_us - self.clock.now_us()
        # Even when behind: answers must be read between two sends.
        await asyncio.sleep(max(0.0, s_from_us(left_us)))

    async def _call(
        self, transport: AsyncTransport, source: Source, due_us: int, counts: bool
    ) -> None:
        lag_us = self.clock.now_us() - due_us
        tally = self._tallies[source] if counts else Tally()
        if counts:
            self._lags_us.append(max(0, lag_us))
        try:
            await self._ask(transport, source)
        except NexusError as error:
            tally.refused(error)
        else:
            tally.answered(self.clock.now_us() - due_us, source.slo_us)

    async def _ask(self, transport: AsyncTransport, source: Source) -> None:
        timeout_s = 2 * s_from_us(source.slo_us) + GRACE_S
        tensors = self._tensors.get(source)
        if tensors is None:
            await transport.run(self.operations[source], timeout_s)
            return
        try:
            async with asyncio.timeout(timeout_s):
                await next(self._ring).ask(source.name, source.slo_us, tensors)
        except TimeoutError as error:
            raise DeadlineError(f"no answer within {timeout_s:g} s", reason="unanswered") from error
