"""A baseline policy in virtual time: its requests, its devices, and the account of both.

The same arrivals, fan-outs, ledger and report as for the cluster itself, and the same settings.
What is left out flatters the baselines: no control plane, models loaded from the start, a
dispatcher that sees every request the moment it comes, pre- and post-processing on as many cores
as it takes.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from nexus.core.clock import MonotonicClock
from nexus.core.names import SessionName
from nexus.core.query import Query
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.session import Session
from nexus.core.units import s_from_us
from nexus.scheduler.scenario import Scenario
from nexus.simulator.arrivals import Arrivals, arrival_times, arrivals_of
from nexus.simulator.baselines.arrangement import Arrangement
from nexus.simulator.baselines.item import Item
from nexus.simulator.baselines.policy import Drop, Effect, Policy, Preempt, Refuse, Start
from nexus.simulator.baselines.query_walk import QueryShape, QueryWalk, shape_of
from nexus.simulator.baselines.shared_devices import SharedDevice
from nexus.simulator.ledger import Account, Ledger
from nexus.simulator.report import DeviceUse, SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings
from nexus.simulator.simulation import SETTLE_US, devices_at_best
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World

GOOD = Outcome()
DRAIN_FACTOR = 100
"""A run in which a request is open this many times longer than requests came never ends."""
OUTCOMES = {
    DropReason.LATE: dropped(DropReason.LATE, "finished after the deadline"),
    DropReason.DEADLINE: dropped(DropReason.DEADLINE, "could no longer be in time"),
    DropReason.QUEUE_FULL: dropped(DropReason.QUEUE_FULL, "the queue is full"),
}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all frames of one query share: its first line and its shape."""

    first_line: int
    shape: QueryShape


@dataclass(slots=True, kw_only=True)
class BaselineRun:
    """One run of one arrangement; ``offer`` then ``finish``."""

    arrangement: Arrangement
    scenario: Scenario
    settings: SimulationSettings
    partial_answers: bool = False
    world: World = field(default_factory=World)
    ledger: Ledger = field(init=False)
    devices: list[SharedDevice] = field(init=False)
    batches: dict[SessionName, dict[int, int]] = field(default_factory=dict)
    _policy: Policy = field(init=False)
    _wakeup: Wakeup = field(init=False)
    _names: list[str] = field(init=False)
    _rng: random.Random = field(init=False)
    _requests: int = 0

    def __post_init__(self) -> None:
        """Build the policy and its devices; nothing happens yet."""
        settings, scenario = self.settings, self.scenario
        self._rng = random.Random(settings.seed)  # noqa: S311 - reproducible, not secret
        self._names = [f"frontend-{index}" for index in range(scenario.frontends)]
        self._policy = self.arrangement.policy()
        self._wakeup = Wakeup(self.world, self._woken)
        self.ledger = Ledger(self.from_us)
        self.devices = [
            SharedDevice(
                self.world,
                not self.arrangement.time_shared,
                self._ended,
                self._rng,
                settings.jitter,
                self.from_us,
                self.until_us,
            )
            for _ in self.arrangement.situation.devices
        ]

    @property
    def from_us(self) -> int:
        """Requests are counted from here on."""
        return SETTLE_US + self.settings.warmup_us

    @property
    def until_us(self) -> int:
        """The last request comes before this."""
        return SETTLE_US + self.scenario.duration_us

    def submit(self, line: int, session: Session, frontend: int) -> None:
        """A client asks for a session."""
        now_us = self.world.now_us
        self._requests += 1
        self.ledger.sent(
            self._names[frontend], self._requests, session.name, now_us, now_us + session.slo_us
        )
        self._send(line, frontend, self._requests, None, 0)

    def submit_query(self, frame: _Frame, query: Query, frontend: int) -> None:
        """A client asks for a query on one frame."""
        now_us = self.world.now_us
        self._requests += 1
        deadline_us = now_us + query.slo_us
        self.ledger.sent(self._names[frontend], self._requests, query.name, now_us, deadline_us)
        walk = QueryWalk(frame.shape, frame.first_line, frontend, self._requests, deadline_us)
        self._send_stages(walk, walk.begin())

    def _send_stages(self, walk: QueryWalk, starts: Iterable[tuple[int, int]]) -> None:
        for stage, items in starts:
            for _ in range(items):
                self._send(walk.first_line + stage, walk.frontend, walk.request_id, walk, stage)
        # An item may be lost on the spot, and have answered the query already.
        if walk.finished and not walk.answered:
            walk.answered = True
            self._answer_query(walk)

    def _send(
        self, line: int, frontend: int, request_id: int, walk: QueryWalk | None, stage: int
    ) -> None:
        served = self.arrangement.situation.served[line]
        now_us = self.world.now_us
        deadline_us = now_us + served.slo_us - served.egress_us
        item = Item(line, frontend, request_id, deadline_us, walk, stage)
        if served.ingress_us:
            self.world.at(now_us + served.ingress_us, partial(self._arrived, item))
        else:
            self._arrived(item)

    def _arrived(self, item: Item) -> None:
        self._perform(self._policy.arrived(item, self.world.now_us))

    def _woken(self) -> None:
        self._perform(self._policy.woken(self.world.now_us))

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                self.devices[effect.device].start(effect)
            elif isinstance(effect, Drop):
                self._lose(effect.items, DropReason.DEADLINE)
            elif isinstance(effect, Preempt):
                device = self.devices[effect.start.device]
                device.stop(effect.start)
                device.occupy(effect.free_us)
            else:
                assert isinstance(effect, Refuse), effect
                self._lose(effect.items, DropReason.QUEUE_FULL)
        self._wakeup.set(self._policy.next_wakeup_us())

    def _ended(self, start: Start) -> None:
        served = self.arrangement.situation.served[start.line]
        sizes = self.batches.setdefault(served.name, {})
        sizes[len(start.items)] = sizes.get(len(start.items), 0) + 1
        now_us = self.world.now_us
        if served.egress_us:
            self.world.at(now_us + served.egress_us, partial(self._reply, start.items, now_us))
        else:
            self._reply(start.items, now_us)
        self._perform(self._policy.finished(start, now_us))

    def _reply(self, items: tuple[Item, ...], finished_us: int) -> None:
        now_us = self.world.now_us
        for item in items:
            if item.walk is not None:
                if item.walk.failed is None:
                    self._send_stages(item.walk, item.walk.found(item.stage, self._rng))
                continue
            outcome = GOOD if finished_us <= item.deadline_us else OUTCOMES[DropReason.LATE]
            self.ledger.answered(self._names[item.frontend], item.request_id, outcome, now_us)

    def _lose(self, items: tuple[Item, ...], reason: DropReason) -> None:
        for item in items:
            if item.walk is None:
                self.ledger.answered(
                    self._names[item.frontend],
                    item.request_id,
                    OUTCOMES[reason],
                    self.world.now_us,
                )
            elif item.walk.failed is None:
                self._send_stages(item.walk, item.walk.lost(item.stage, reason))

    def _answer_query(self, walk: QueryWalk) -> None:
        now_us = self.world.now_us
        reason = walk.failed or (DropReason.LATE if now_us > walk.deadline_us else None)
        outcome = OUTCOMES[reason] if reason else GOOD
        self.ledger.answered(self._names[walk.frontend], walk.request_id, outcome, now_us)

    def offer(self) -> None:
        """Let the requests of every session and query come, as in a simulation of the cluster."""
        rng = random.Random(self.settings.seed + 1)  # noqa: S311 - reproducible, not secret
        line = 0
        for entry in self.scenario.sessions:
            arrivals = arrivals_of(entry.arrivals, entry.rate)
            self._stream(arrivals, rng, partial(self.submit, line, entry.session))
            line += 1
        for asked in self.scenario.queries:
            frame = _Frame(line, shape_of(asked.query, partial_answers=self.partial_answers))
            arrivals = arrivals_of(asked.arrivals, asked.rate)
            self._stream(arrivals, rng, partial(self.submit_query, frame, asked.query))
            line += len(asked.query.stages)

    def finish(self) -> None:
        """Run until everything is answered, however late.

        Raises:
            LedgerError: something is never answered.
        """
        end_us = self.until_us
        while True:
            self.world.run_until(end_us)
            if end_us > self.until_us and not self.ledger.unanswered:
                break
            if end_us > DRAIN_FACTOR * self.until_us:
                break
            end_us += self.scenario.duration_us
        self.ledger.close()

    def report(self, policy: str, wall_s: float) -> SimulationReport:
        """What came of it."""
        accounts, scenario = self.ledger.accounts, self.scenario
        counted_us = self.until_us - self.from_us
        sessions = {
            e.session.name: accounts.get(e.session.name, Account()) for e in scenario.sessions
        }
        queries = {e.query.name: accounts.get(e.query.name, Account()) for e in scenario.queries}
        offered = {
            name: account.offered / s_from_us(counted_us)
            for name, account in (sessions | queries).items()
        }
        return SimulationReport(
            scenario=scenario.name,
            policy=policy,
            seed=self.settings.seed,
            simulated_us=counted_us,
            sessions=sessions,
            queries=queries,
            batches=self.batches,
            devices=[
                DeviceUse(
                    backend=f"{device}-{index}",
                    device=device,
                    busy_us_by_second=tuple(self.devices[index].busy_us_by_second),
                )
                for index, device in enumerate(self.arrangement.situation.devices)
            ],
            lower_bound=devices_at_best(scenario, offered),
            plans=1,
            events=self.world.events,
            wall_s=wall_s,
        )

    def _stream(
        self, arrivals: Arrivals, rng: random.Random, submit: Callable[[int], None]
    ) -> None:
        own = random.Random(rng.getrandbits(64))  # noqa: S311 - reproducible, not secret
        times = arrival_times(arrivals, self.scenario.duration_us, own)
        frontends = len(self._names)

        def next_one() -> None:
            when_us = next(times, None)
            if when_us is not None:
                self.world.at(SETTLE_US + when_us, arrive)

        def arrive() -> None:
            submit(own.randrange(frontends))
            next_one()

        next_one()


def run_arrangement(
    arrangement: Arrangement,
    scenario: Scenario,
    name: str,
    settings: SimulationSettings | None = None,
    *,
    partial_answers: bool = False,
) -> SimulationReport:
    """Run ``scenario`` under an arrangement made for it, or for the same one at other rates.

    Raises:
        LedgerError: an invariant broke.
    """
    started_us = MonotonicClock().now_us()
    run = BaselineRun(
        arrangement=arrangement,
        scenario=scenario,
        settings=settings or SimulationSettings(seed=scenario.seed),
        partial_answers=partial_answers,
    )
    run.offer()
    run.finish()
    return run.report(name, s_from_us(MonotonicClock().now_us() - started_us))
