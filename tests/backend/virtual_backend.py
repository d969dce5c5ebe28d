"""The backend engine in virtual time: arrivals in, outcomes out, and the invariants checked."""

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.emulated_chunk import emulated_chunk
from nexus.backend.engine import BackendEngine
from nexus.backend.events import (
    Arrived,
    BackendEffect,
    BackendEvent,
    Batch,
    Cancelled,
    ConnectionLost,
    Drain,
    Drained,
    Execute,
    Executed,
    Load,
    Loaded,
    PlanChanged,
    Prepare,
    Prepared,
    Reject,
    SayStarted,
    Tick,
    Unload,
)
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import Profile, linear_profile
from nexus.core.request import Dispatch, DropReason


@dataclass(frozen=True)
class Stream:
    """One session's load: single items by Poisson, or ``even``: at equal gaps."""

    placement: Placement
    profile: Profile
    rate: float
    even: bool = False

    def gap_us(self, chance: random.Random) -> float:
        """How long after an item the next comes."""
        return 1e6 / self.rate if self.even else chance.expovariate(self.rate) * 1e6


@dataclass
class VirtualBackend:
    """Drives one engine; ``slowdown`` is how much longer a batch takes than its profile says.

    Models in ``chunks_us`` run by chunks of so long; ``lefts`` is what is left of their dispatches.
    """

    profiles: dict[str, Profile]
    prepare_us: int = 0
    slowdown: float = 1.0
    engine: BackendEngine = field(default_factory=lambda: BackendEngine(reply_us=0))
    now_us: int = 0
    load_us: int = 0
    ends_us: dict[DispatchKey, int] = field(default_factory=dict)
    rejected: dict[DispatchKey, DropReason] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    unloads: list[str] = field(default_factory=list)
    said: list[SayStarted] = field(default_factory=list)
    drained_at_us: int | None = None
    chunks_us: dict[str, int] = field(default_factory=dict)
    lefts: dict[DispatchKey, float] = field(default_factory=dict)
    _pending: list[tuple[int, int, BackendEvent]] = field(default_factory=list)
    _sequence: int = 0

    @property
    def idle(self) -> bool:
        """Whether no batch is on the device."""
        return not self.batches or self.ends_us[self.batches[-1].keys[0]] <= self.now_us

    def plan(self, *placements: Placement, version: int = 1) -> None:
        """Publish a plan of these placements."""
        cycle_us = sum(placement.latency_us for placement in placements) or 1
        plan = BackendPlan(
            device="v100", duty_cycle_us=cycle_us, occupancy=1.0, placements=placements
        )
        self.tell(PlanChanged(plan, version, self.profiles))
        self.run_until(self.now_us + self.load_us)

    def at(self, at_us: int, event: BackendEvent) -> None:
        """Tell the engine ``event`` when ``at_us`` comes."""
        self._sequence += 1
        heapq.heappush(self._pending, (at_us, self._sequence, event))

    def tell(self, event: BackendEvent) -> tuple[BackendEffect, ...]:
        """Tell the engine now."""
        effects = self.engine.handle(event, self.now_us)
        for effect in effects:
            self._perform(effect)
        return effects

    def arrive(self, number: int, session: str, deadline_us: int, items: int = 1) -> DispatchKey:
        """A dispatch arrives now over connection 0."""
        key = DispatchKey(0, number)
        dispatch = Dispatch(id=number, session=session, deadline_us=deadline_us, items=items)
        self.tell(Arrived(key, dispatch))
        return key

    def run_until(self, end_us: int) -> None:
        """Let virtual time pass."""
        while (at_us := self._next_us()) is not None and at_us <= end_us:
            self.now_us = max(self.now_us, at_us)
            if self._pending and self._pending[0][0] <= self.now_us:
                self.tell(heapq.heappop(self._pending)[2])
            else:
                self.tell(Tick())
        self.now_us = max(self.now_us, end_us)

    def _next_us(self) -> int | None:
        times = [self._pending[0][0]] if self._pending else []
        wakeup_us = self.engine.next_wakeup_us()
        if wakeup_us is not None:
            times.append(wakeup_us)
        return min(times, default=None)

    def _perform(self, effect: BackendEffect) -> None:
        match effect:
            case Prepare(key):
                self.at(self.now_us + self.prepare_us, Prepared(key))
            case Execute(batch):
                self._execute(batch)
            case Reject(key, outcome):
                assert key not in self.rejected, key
                assert outcome.reason is not None
                self.rejected[key] = outcome.reason
            case Load(placement):
                self.loads.append(placement.model)
                chunk_us = self.chunks_us.get(placement.model, 0)
                self.at(self.now_us + self.load_us, Loaded(placement.session, chunk_us))
            case Unload(_, model):
                self.unloads.append(model)
            case SayStarted():
                self.said.append(effect)
            case Drained():
                self.drained_at_us = self.now_us

    def _execute(self, batch: Batch) -> None:
        if batch.model in self.chunks_us:
            self._execute_chunk(batch)
            return
        took_us = round(self.profiles[batch.model].latency_us(batch.items) * self.slowdown)
        for key in batch.keys:
            assert key not in self.ends_us, key
            self.ends_us[key] = self.now_us + took_us
        self.batches.append(batch)
        self.at(self.now_us + took_us, Executed(batch.id))

    def _execute_chunk(self, batch: Batch) -> None:
        profile, lefts = self.profiles[batch.model], self.lefts
        assert not self.ends_us.keys() & set(batch.keys), "what has ended is not executed again"
        before = [lefts.get(key, 1.0) for key in batch.keys]
        latency_us = profile.latency_us(min(batch.items, profile.max_batch))
        ends_with = lefts.get(batch.ends_with, 1.0) if batch.ends_with else 1.0
        chunk = emulated_chunk(before, latency_us, self.chunks_us[batch.model], ends_with)
        end_us = self.now_us + round(chunk.took_us * self.slowdown)
        lefts.update(zip(batch.keys, chunk.lefts, strict=True))
        self.ends_us.update({key: end_us for key in batch.keys if not lefts[key]})
        self.batches.append(batch)
        unfinished = {key: lefts[key] for key in batch.keys if lefts[key]}
        self.at(end_us, Executed(batch.id, unfinished=unfinished))


@dataclass(frozen=True)
class Chances:
    """What may happen before each arrival: after up to ``gap_us``, with these chances."""

    gap_us: int
    cancel: float
    replan: float
    lose: float


@dataclass
class Story:
    """Random arrivals of ``sessions`` under one of ``plans``, and what became of the dispatches."""

    world: VirtualBackend
    plans: Sequence[Sequence[Placement]]
    sessions: Sequence[str]
    deadlines_us: dict[DispatchKey, int] = field(default_factory=dict)
    session_of: dict[DispatchKey, str] = field(default_factory=dict)
    lost: set[DispatchKey] = field(default_factory=set)

    def happen(self, chance: random.Random, chances: Chances) -> None:
        """Everything, until the backend has drained."""
        world = self.world
        for number in range(chance.randrange(10, 120)):
            world.run_until(world.now_us + chance.randrange(chances.gap_us))
            if chance.random() < chances.cancel:
                world.tell(Cancelled(DispatchKey(0, chance.randrange(number + 1))))
            if chance.random() < chances.replan:
                world.plan(*chance.choice(self.plans), version=number + 2)
            if chance.random() < chances.lose:
                open_keys = self.deadlines_us.keys() - world.rejected.keys() - world.ends_us.keys()
                world.tell(ConnectionLost(0))
                self.lost |= open_keys
            session = chance.choice(self.sessions)
            deadline_us = world.now_us + chance.randrange(1, 300_000)
            key = world.arrive(number, session, deadline_us, chance.randrange(1, 6))
            self.deadlines_us[key], self.session_of[key] = deadline_us, session
        world.tell(Drain())
        world.run_until(world.now_us + 10_000_000)

    def assert_each_ended_once(self) -> None:
        """One answer or refusal each, or none where nobody listens any more."""
        world = self.world
        assert world.drained_at_us is not None
        assert not world.rejected.keys() & world.ends_us.keys()
        assert world.rejected.keys() | world.ends_us.keys() | self.lost == self.deadlines_us.keys()
        assert not self.lost & (world.rejected.keys() | world.ends_us.keys())

    def assert_in_time(self, rounding_us: int = 0) -> None:
        """Nobody was answered late by more than the rounding."""
        ends_us = self.world.ends_us
        assert all(at <= self.deadlines_us[key] + rounding_us for key, at in ends_us.items())


def placement_of(
    profile: Profile, slo_us: int, batch: int, *, session: str = "", rate: float = 0.0
) -> Placement:
    """A placement of ``batch`` items of a profile's model."""
    return Placement(
        session=session or f"{profile.model}@{slo_us / 1000:g}ms",
        model=profile.model,
        slo_us=slo_us,
        batch=batch,
        rate=rate,
        latency_us=profile.latency_us(batch),
    )


FAST = linear_profile("fast", "v100", 1_000, 9_000, 16)
FAST_100 = placement_of(FAST, 100_000, 4)
"""A light model, and a session of it."""


def goodput(
    streams: Sequence[Stream],
    duration_us: int,
    seed: int,
    chunks_us: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, float]:
    """The share of each session's items that left the device in time."""
    profiles = {stream.profile.model: stream.profile for stream in streams}
    world = VirtualBackend(profiles, chunks_us=dict(chunks_us))
    world.plan(*(stream.placement for stream in streams))
    deadlines = dict(_arrivals(world, streams, duration_us, random.Random(seed)))
    world.run_until(duration_us * 2)
    good, offered = Counter[str](), Counter[str]()
    for key, (session, deadline_us) in deadlines.items():
        offered[session] += 1
        good[session] += world.ends_us.get(key, deadline_us + 1) <= deadline_us
    assert len(world.ends_us) + len(world.rejected) == len(deadlines)
    return {session: good[session] / offered[session] for session in offered}


def _arrivals(
    world: VirtualBackend, streams: Sequence[Stream], duration_us: int, chance: random.Random
) -> Iterable[tuple[DispatchKey, tuple[str, int]]]:
    number = 0
    for stream in streams:
        session, at_us = stream.placement.session, 0.0
        while (at_us := at_us + stream.gap_us(chance)) < duration_us:
            number += 1
            key = DispatchKey(0, number)
            deadline_us = round(at_us) + stream.placement.slo_us
            dispatch = Dispatch(id=number, session=session, deadline_us=deadline_us)
            world.at(round(at_us), Arrived(key, dispatch))
            yield key, (session, deadline_us)
