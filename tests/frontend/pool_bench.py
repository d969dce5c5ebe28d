"""A pool in virtual time: the real owner, and backends that know only the rule of deferral.

No network, no frontends, no engines: what is measured is the policy (ADR 0020). Requests of one
item come from a list of (time, session); everything is counted by session.
"""

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from nexus.core.routing import Pool, PooledSession, PoolMember
from nexus.frontend.member_timeline import Started
from nexus.frontend.pool_owner import PoolOwner

Arrival = tuple[int, str]
US = 1_000_000


def session(
    name: str, alpha_ms: float, beta_ms: float, slo_ms: float, *, batch: int = 0, rate: float = 1.0
) -> PooledSession:
    """l(b) = alpha b + beta, up to the largest that the SLO allows; ``batch`` 0: that one."""
    most = int((slo_ms - beta_ms) / alpha_ms)
    latencies = tuple(round((alpha_ms * b + beta_ms) * 1_000) for b in range(1, most + 1))
    return PooledSession(
        session=name,
        slo_us=round(slo_ms * 1_000),
        batch=batch or most,
        rate=rate,
        latencies_us=latencies,
    )


def pool(members: int, *sessions: PooledSession, spares: int = 0) -> Pool:
    """A pool named ``p`` of members ``b0``, ``b1``, ...; the last ``spares`` are spares."""
    return Pool(
        name="p",
        device="d",
        sessions=sessions,
        members=tuple(
            PoolMember(backend=f"b{n}", address=f"b{n}:1", spare=n >= members - spares)
            for n in range(members)
        ),
    )


def staggered_batch(one: PooledSession, members: int) -> int:
    """The largest b with (1 + 1/N) l(b) <= SLO: a device comes free every l(b) / N."""
    fitting = [
        b for b, us in enumerate(one.latencies_us, 1) if us * (members + 1) <= one.slo_us * members
    ]
    return fitting[-1]


def hard_limit(one: PooledSession, members: int) -> float:
    """N * max{b / l(b) : l(b) <= SLO}, in items/s: full batches, back to back."""
    best = max(b / us for b, us in enumerate(one.latencies_us, 1) if us <= one.slo_us)
    return members * best * US


def poisson(name: str, rate: float, duration_s: float, seed: int, cv: float = 1.0) -> list[Arrival]:
    """Arrivals with gamma interarrival times of that coefficient of variation; 1 is Poisson."""
    draw = random.Random(seed)
    shape = 1 / cv**2
    now_us, arrivals = 0.0, []
    while now_us < duration_s * US:
        now_us += draw.gammavariate(shape, US / rate / shape)
        arrivals.append((int(now_us), name))
    return arrivals


@dataclass
class Backend:
    """Queues by session, one batch at a time, deferred as ADR 0020 says."""

    sessions: dict[str, PooledSession]
    queues: dict[str, list[int]] = field(default_factory=dict)
    busy: bool = False
    look_us: int | None = None

    def choose(self, now_us: int) -> tuple[str, list[int]] | None:
        """The batch to start now, taken from its queue; else ``look_us`` is when to ask again."""
        best: tuple[int, str, int] | None = None
        self.look_us = None
        for name, queue in self.queues.items():
            items = self._largest(name, now_us)
            if not items:
                continue
            latencies = self.sessions[name].latencies_us
            full = items == self.sessions[name].batch or items < len(queue)
            start_us = now_us if full else queue[0] - latencies[items]
            if start_us > now_us:
                self.look_us = min(start_us, self.look_us or start_us)
            elif best is None or queue[0] - latencies[items - 1] < best[0]:
                best = (queue[0] - latencies[items - 1], name, items)
        if best is None:
            return None
        queue = self.queues[best[1]]
        taken, queue[:] = queue[: best[2]], queue[best[2] :]
        return best[1], taken

    def _largest(self, name: str, now_us: int) -> int:
        one, queue = self.sessions[name], self.queues[name]
        items = min(len(queue), one.batch)
        while items and now_us + one.latencies_us[items - 1] > queue[0]:
            items -= 1
        return items


@dataclass
class Run:
    """What became of the requests, and how busy the devices were."""

    good: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    batches: Counter[str] = field(default_factory=Counter)
    busy_us: Counter[str] = field(default_factory=Counter)
    until_us: int = 0

    def offered(self, name: str) -> int:
        """All requests of a session."""
        return self.good[name] + self.refused[name] + self.missed[name]

    def share(self, name: str) -> float:
        """The share in time."""
        return self.good[name] / self.offered(name)

    def goodput(self, name: str) -> float:
        """Items/s in time."""
        return self.good[name] / self.until_us * US


class Bench:
    """One run. Batches take ``speed`` times l(b), with a standard deviation of ``jitter``."""

    def __init__(self, what: Pool, *, jitter: float = 0.0, speed: float = 1.0) -> None:
        """All members can be reached from the start."""
        names = [member.backend for member in what.members]
        self.owner = PoolOwner(what, names, travel_us=0)
        self.run = Run()
        self._sessions = {one.session: one for one in what.sessions}
        self._backends = {
            name: Backend(self._sessions, {one: [] for one in self._sessions}) for name in names
        }
        self._events: list[tuple[int, int, str, bool]] = []
        self._jitter = jitter
        self._speed = speed
        self._draw = random.Random(1)

    def play(self, arrivals: Iterable[Arrival]) -> Run:
        """Feed all arrivals, and run until everything has ended."""
        for now_us, name in sorted(arrivals):
            self._run_until(now_us)
            self._submit(name, now_us)
            self.run.until_us = now_us
        self._run_until(None)
        for backend in self._backends.values():
            for name, queue in backend.queues.items():
                self.run.missed[name] += len(queue)
        return self.run

    def _submit(self, name: str, now_us: int) -> None:
        deadline_us = now_us + self._sessions[name].slo_us
        placed = self.owner.place(name, 1, deadline_us, now_us)
        if not isinstance(placed, str):
            self.run.refused[name] += 1
            return
        queue = self._backends[placed].queues[name]
        queue.append(deadline_us)
        self._look(placed, now_us)

    def _run_until(self, until_us: int | None) -> None:
        while self._events and (until_us is None or self._events[0][0] <= until_us):
            now_us, _, backend, done = heapq.heappop(self._events)
            if done:
                self._backends[backend].busy = False
            self._look(backend, now_us)

    def _look(self, name: str, now_us: int) -> None:
        backend = self._backends[name]
        if backend.busy:
            return
        chosen = backend.choose(now_us)
        if chosen is not None:
            self._execute(name, *chosen, now_us)
        elif backend.look_us is not None:
            heapq.heappush(self._events, (backend.look_us, len(self._events), name, False))

    def _execute(self, name: str, of: str, deadlines_us: Sequence[int], now_us: int) -> None:
        backend = self._backends[name]
        backend.busy = True
        expected_us = self._sessions[of].latencies_us[len(deadlines_us) - 1]
        took_us = round(expected_us * max(0.5, self._draw.gauss(self._speed, self._jitter)))
        good = sum(deadline_us >= now_us + took_us for deadline_us in deadlines_us)
        self.run.good[of] += good
        self.run.missed[of] += len(deadlines_us) - good
        self.run.batches[of] += 1
        self.run.busy_us[name] += took_us
        heapq.heappush(self._events, (now_us + took_us, len(self._events), name, True))
        self.owner.batch_started(
            name,
            of,
            Started(len(deadlines_us), expected_us, len(backend.queues[of])),
            now_us,
        )


def with_batch(one: PooledSession, batch: int, rate: float = 0.0) -> PooledSession:
    """The session with another target, and rate if given."""
    return replace(one, batch=batch, rate=rate or one.rate)
