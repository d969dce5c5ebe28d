"""What the engines cost a request: microseconds of Python, without any shell around them.

The simulator must pass 50,000 requests a second of wall time through these very objects, so a
request may cost 20 us in all of them together. Time is CPU time, the least of several rounds.
"""

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.engine import BackendEngine
from nexus.backend.events import BackendEffect, Execute, Executed, Loaded, PlanChanged, Tick
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import Profile, linear_profile
from nexus.core.request import Dispatch, Outcome
from nexus.core.routing import Pool, PooledSession, PoolMember, Route, RoutingTable, SessionRoutes
from nexus.core.units import US_PER_S
from nexus.frontend.engine import FrontendEngine
from nexus.frontend.events import BackendFound, RepliedTogether, Send, TableChanged

JITTER = 0.05
"""Relative standard deviation of a batch's time: without it, nothing is ever corrected."""

NEVER_US = 1 << 62
SLO_US = 50_000


@dataclass(frozen=True)
class BackendCase:
    """``load`` is the share of what full batches back to back would serve."""

    title: str
    sessions: int
    load: float
    pooled: bool


BACKEND_CASES = (
    BackendCase("1 local session, load 0.9", 1, 0.9, pooled=False),
    BackendCase("1 local session, load 0.2", 1, 0.2, pooled=False),
    BackendCase("5 local sessions, load 0.9", 5, 0.9, pooled=False),
    BackendCase("1 pooled session, load 0.9", 1, 0.9, pooled=True),
    BackendCase("5 pooled sessions, load 0.9", 5, 0.9, pooled=True),
    BackendCase("1 pooled session, load 2.0", 1, 2.0, pooled=True),
)

FRONTEND_CASES = (
    ("local, 8 backends", False, 8),
    ("local, 100 backends", False, 100),
    ("own pool of 8 backends", True, 8),
    ("own pool of 100 backends", True, 100),
)
REPLIED_TOGETHER = 48
"""Requests under way at a frontend before their replies come, all at once."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the cost of a request in each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    for case in BACKEND_CASES:
        worlds = [BackendWorld(case, given.requests) for _ in range(given.rounds)]
        cost_us = min(world.run() for world in worlds)
        print(f"backend: {case.title:28} {cost_us:6.2f} us/request, {worlds[0].batch:4.1f} a batch")
    for title, pooled, backends in FRONTEND_CASES:
        rounds = [frontend_cost_us(given.requests, backends, pooled) for _ in range(given.rounds)]
        print(f"frontend: {title:27} {min(rounds):6.2f} us/request")


class BackendWorld:
    """One engine and a device that takes the profiled time, give or take; nothing else."""

    def __init__(self, case: BackendCase, requests: int) -> None:
        """Make the arrivals beforehand: they are not to be measured."""
        self._chance = random.Random(1)  # noqa: S311 - reproducible
        names = [f"model{index}" for index in range(case.sessions)]
        self._profiles = {n: linear_profile(n, "v100", 750, 7_960, 64) for n in names}
        slo_us = 50_000 * case.sessions
        target = self._profiles[names[0]].largest_batch_within(40_000 if case.pooled else 25_000)
        placements = [
            _placement(self._profiles[name], slo_us, target, pooled=case.pooled) for name in names
        ]
        cycle_us = sum(placement.latency_us for placement in placements)
        self._engine = _serving(placements, self._profiles)
        self._arrivals = self._poisson(
            placements, requests, case.load * case.sessions * target / cycle_us * US_PER_S
        )
        self._executed: tuple[int, Executed] | None = None
        self._batches = self._items = 0

    @property
    def batch(self) -> float:
        """The mean batch, once run."""
        return self._items / self._batches

    def run(self) -> float:
        """Microseconds of CPU time a request."""
        started = time.process_time()
        arrived, engine, taken = 0, self._engine, len(self._arrivals)
        while arrived < taken or self._executed is not None:
            arrival_us = self._arrivals[arrived][0] if arrived < taken else NEVER_US
            executed_us = NEVER_US if self._executed is None else self._executed[0]
            wakeup_us = engine.next_wakeup_us()
            if arrival_us < executed_us and (wakeup_us is None or arrival_us <= wakeup_us):
                _, key, dispatch = self._arrivals[arrived]
                arrived += 1
                self._perform(engine.arrived(key, dispatch, arrival_us), arrival_us)
            elif self._executed is not None and (wakeup_us is None or executed_us <= wakeup_us):
                event, self._executed = self._executed[1], None
                self._perform(engine.handle(event, executed_us), executed_us)
            else:
                assert wakeup_us is not None
                self._perform(engine.handle(Tick(), wakeup_us), wakeup_us)
        return (time.process_time() - started) / taken * US_PER_S

    def _perform(self, effects: tuple[BackendEffect, ...], now_us: int) -> None:
        for effect in effects:
            if isinstance(effect, Execute):
                batch = effect.batch
                self._batches += 1
                self._items += batch.items
                slowdown = max(0.5, self._chance.gauss(1, JITTER))
                took_us = round(self._profiles[batch.model].latency_us(batch.items) * slowdown)
                self._executed = now_us + took_us, Executed(batch.id)

    def _poisson(
        self, placements: Sequence[Placement], requests: int, rate: float
    ) -> list[tuple[int, DispatchKey, Dispatch]]:
        arrivals, at_us = [], 0.0
        for number in range(requests):
            at_us += self._chance.expovariate(rate) * US_PER_S
            placement = self._chance.choice(placements)
            deadline_us = round(at_us) + placement.slo_us
            dispatch = Dispatch(id=number, session=placement.session, deadline_us=deadline_us)
            arrivals.append((round(at_us), DispatchKey(0, number), dispatch))
        return arrivals


def _placement(profile: Profile, slo_us: int, batch: int, *, pooled: bool) -> Placement:
    return Placement(
        session=f"{profile.model}@{slo_us // 1000}ms",
        model=profile.model,
        slo_us=slo_us,
        batch=batch,
        rate=1.0,
        latency_us=profile.latency_us(batch),
        pool="pool" if pooled else None,
    )


def _serving(placements: Sequence[Placement], profiles: dict[str, Profile]) -> BackendEngine:
    """An engine that has loaded everything, and needs no preparing."""
    engine = BackendEngine(prepares=False)
    plan = BackendPlan(device="v100", duty_cycle_us=1, occupancy=1.0, placements=tuple(placements))
    engine.handle(PlanChanged(plan, 1, profiles), 0)
    for placement in placements:
        engine.handle(Loaded(placement.session), 0)
    return engine


def frontend_cost_us(requests: int, backends: int, pooled: bool) -> float:
    """A request's CPU time from Submit to Answer, at 0.9 of the backends' capacity."""
    profile = linear_profile("m", "v100", 750, 7_960, 56)
    latencies_us = tuple(profile.latency_us(batch) for batch in range(1, 57))
    gap_us = latencies_us[REPLIED_TOGETHER - 1] / REPLIED_TOGETHER / backends / 0.9
    engine = FrontendEngine(travel_us=0)
    names = [f"b{index}" for index in range(backends)]
    engine.handle(TableChanged(_pool(names, latencies_us) if pooled else _routes(names)), 0)
    for name in names:
        engine.handle(BackendFound(name), 0)
    under_way: list[int] = []
    ok = Outcome(batch=REPLIED_TOGETHER)
    started = time.process_time()
    for number in range(requests):
        now_us = round(number * gap_us)
        for effect in engine.submit(number, "s", now_us + SLO_US, 1, now_us):
            assert isinstance(effect, Send), effect
            under_way.append(effect.dispatch.id)
        engine.next_wakeup_us()
        if len(under_way) == REPLIED_TOGETHER:
            engine.handle(RepliedTogether(tuple(under_way), (ok,) * REPLIED_TOGETHER), now_us)
            under_way.clear()
    return (time.process_time() - started) / requests * US_PER_S


def _routes(names: Sequence[str]) -> RoutingTable:
    routes = tuple(
        Route(
            backend=name,
            address=f"{name}:1",
            rate=500.0,
            batch=REPLIED_TOGETHER // 2,
            duty_cycle_us=SLO_US // 2,
            latency_us=SLO_US // 2,
        )
        for name in names
    )
    entry = SessionRoutes(session="s", model="m", slo_us=SLO_US, routes=routes)
    return RoutingTable(version=1, sessions=(entry,))


def _pool(names: Sequence[str], latencies_us: tuple[int, ...]) -> RoutingTable:
    pooled = PooledSession(
        session="s",
        slo_us=SLO_US,
        batch=REPLIED_TOGETHER,
        rate=1_000.0 * len(names),
        latencies_us=latencies_us,
    )
    members = tuple(PoolMember(backend=name, address=f"{name}:1") for name in names)
    pool = Pool(name="p", device="v100", sessions=(pooled,), members=members)
    entry = SessionRoutes(
        session="s", model="m", slo_us=SLO_US, routes=(), pool="p", pool_rate=pooled.rate
    )
    return RoutingTable(version=1, sessions=(entry,), pools=(pool,))


if __name__ == "__main__":
    main()
