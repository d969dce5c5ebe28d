"""A Demand: the rate of one session that one device type must cover, and what its SLO allows.

The SLO is reduced by what the device does not control (network, pre- and post-processing) before
the paper's rules see it. No profile is taken to be monotone (batch_table.py).

Demands and parts are named tuples: every epoch makes several for each of thousands of sessions, and
a frozen dataclass of as many fields takes four times as long to make.
"""

import math
from typing import NamedTuple

from nexus.core.device import DeviceSpec
from nexus.core.names import SessionName
from nexus.core.profile import Profile
from nexus.core.session import Session
from nexus.core.units import US_PER_S, ms_from_us
from nexus.scheduler.batch_table import BatchTable

BATCH_EPSILON = 1e-6
"""``ceil(duty * rate)`` forgives this much: 8.0000001 requests are 8, not a batch of 9."""


class Part(NamedTuple):
    """One of several sessions that are batched together, and its share of their rate."""

    session: Session
    share: float


class Demand(NamedTuple):
    """``rate`` items/s of ``session``, on the device type of ``profile``.

    ``budget_us`` is what is left of the SLO for waiting and executing. ``batch`` is the saturating
    batch size, 0 when none is feasible. Besides the profile's memory, which every session of the
    model shares, a demand may need ``shared_memory_bytes`` that all demands on a device with the
    same ``shared_memory_key`` have in common: the layers of a prefix group. Where sessions are
    batched together they are the ``parts`` of one demand, that of the tightest (co_batching.py).
    """

    session: Session
    rate: float
    profile: Profile
    budget_us: int
    table: BatchTable
    batch: int
    shared_memory_key: str = ""
    shared_memory_bytes: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def name(self) -> SessionName:
        """The session's name."""
        return self.session.name

    @property
    def is_even(self) -> bool:
        """Whether its items come at equal gaps, as is foretold of all its parts."""
        if self.parts:
            return all(part.session.arrives_evenly for part in self.parts)
        return self.session.arrives_evenly

    @property
    def cheapest(self) -> tuple[int, ...]:
        """``cheapest[b]``: the batch size >= b of least latency; entry 0 is unused."""
        return self.table.cheapest

    @property
    def batch_limit(self) -> int:
        """The largest batch size allowed by profile and model."""
        return self.table.limit

    @property
    def throughput(self) -> float:
        """Items/s of a device dedicated to this session: T = B / l(B)."""
        return self.profile.throughput(self.batch) if self.batch else 0.0

    def batch_for(self, duty_cycle_us: int) -> int:
        """The batch size that keeps up with the rate in this duty cycle; 0 when none does."""
        wanted = max(1, math.ceil(duty_cycle_us * self.rate / US_PER_S - BATCH_EPSILON))
        cheapest = self.table.cheapest
        return cheapest[wanted] if wanted < len(cheapest) else 0

    def gather_us(self, batch: int) -> int:
        """How long ``batch`` items take to arrive; rounded down, so that the rate is covered."""
        return int(batch * US_PER_S / self.rate)

    def at_rate(self, rate: float) -> "Demand":
        """The same session at another rate."""
        return Demand(
            self.session,
            rate,
            self.profile,
            self.budget_us,
            self.table,
            self.batch,
            self.shared_memory_key,
            self.shared_memory_bytes,
            self.parts,
        )


def saturating_batch(table: BatchTable, budget_us: int) -> int:
    """The paper's B: the best throughput with 2 l(B) <= budget; 0 when no batch size has it.

    A request that just missed a batch waits for that one and is executed in the next. Where
    throughput grows with the batch, as the paper assumes, this is the largest feasible batch size.
    """
    return table.saturating(budget_us // 2)


def infeasible_reason(demand: Demand, device: DeviceSpec) -> str:
    """Why no number of such devices can serve the session, or "" when they can."""
    needed = demand.profile.memory_bytes
    if device.memory_bytes and needed > device.memory_bytes:
        return (
            f"{demand.profile.model} needs {needed // 1_000_000} MB, "
            f"{device.type} has {device.memory_bytes // 1_000_000} MB"
        )
    if demand.batch:
        return ""
    fastest = demand.cheapest[1]
    latency_ms = ms_from_us(demand.profile.latency_us(fastest))
    slo_us, budget_us = demand.session.slo_us, demand.budget_us
    overhead = (
        f" (SLO {ms_from_us(slo_us):g} ms less network, pre- and post-processing)"
        if budget_us != slo_us
        else ""
    )
    factor_text = f"2 l({fastest}) > {ms_from_us(budget_us):g} ms"
    return f"l({fastest}) = {latency_ms:g} ms, {factor_text}{overhead}"
