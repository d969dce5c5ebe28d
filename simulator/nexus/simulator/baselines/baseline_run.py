"""A baseline policy in virtual time: its requests, its devices, and the account of both.

The same clients, fan-outs, ledger and report as for the cluster itself, and the same settings. What
is left out flatters the baselines: no control plane, no faults, models loaded from the start, a
dispatcher that sees every request the moment it comes, pre- and post-processing on as many cores as
it takes.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nexus.core.clock import MonotonicClock
from nexus.core.names import SessionName, stage_session_name
from nexus.core.request import DropReason, Outcome, dropped
from nexus.core.units import US_PER_S, s_from_us
from nexus.scheduler.scenario import DeviceBehaviour, Scenario, ScenarioQuery
from nexus.simulator.baselines.arrangement import Arrangement
from nexus.simulator.baselines.item import Item, Line
from nexus.simulator.baselines.policy import Drop, Effect, Preempt, Refuse, Start
from nexus.simulator.baselines.query_walk import QueryShape, QueryWalk, shape_of, stage_ends_us
from nexus.simulator.baselines.shared_devices import SharedDevice
from nexus.simulator.clients import Clients
from nexus.simulator.hopeless import bad_max, run_hopefully
from nexus.simulator.ledger import Ledger
from nexus.simulator.report import DeviceUse, SimulationReport
from nexus.simulator.simulated_cluster import SimulationSettings
from nexus.simulator.simulation import report_of
from nexus.simulator.wakeup import Wakeup
from nexus.simulator.world import World

DRAIN_FACTOR = 100
"""A run in which a request is open this many times longer than requests came never ends."""
GOOD = Outcome()
OUTCOMES = {
    DropReason.LATE: dropped(DropReason.LATE, "finished after the deadline"),
    DropReason.DEADLINE: dropped(DropReason.DEADLINE, "could no longer be in time"),
    DropReason.QUEUE_FULL: dropped(DropReason.QUEUE_FULL, "the queue is full"),
}


@dataclass(frozen=True, slots=True)
class _Frames:
    """What all frames of one query share: the line of its first stage, and its shape.

    ``ends_us[s]`` is when stage s should have ended, from the frame's arrival on.
    """

    first_line: Line
    shape: QueryShape
    ends_us: tuple[int, ...]


class BaselineFrontend:
    """Where clients enter; ``index`` is how items remember it."""

    __slots__ = ("_index", "_run", "name")

    def __init__(self, run: "BaselineRun", index: int) -> None:
        """One of a run's frontends."""
        self.name = f"frontend-{index}"
        self._index = index
        self._run = run

    def submit(self, request_id: int, session: str, deadline_us: int) -> None:
        """A client asks for one session."""
        del deadline_us  # The session's, as the ledger knows.
        self._run.send(self._run.lines[session], self._index, request_id, None, 0)

    def submit_query(self, request_id: int, query: str, deadline_us: int) -> None:
        """A client asks for a query on one frame."""
        frames = self._run.frames[query]
        walk = QueryWalk(
            frames.shape,
            first_line=frames.first_line,
            frontend=self._index,
            request_id=request_id,
            deadline_us=deadline_us,
            ends_us=frames.ends_us,
        )
        self._run.start_stages(walk, walk.begin())


class BaselineRun:
    """One run of one arrangement: ``offer``, then ``finish``, then ``report``."""

    def __init__(
        self,
        arrangement: Arrangement,
        scenario: Scenario,
        settings: SimulationSettings,
        *,
        partial_answers: bool = False,
    ) -> None:
        """Build the policy and its devices; nothing happens yet."""
        self.world = World()
        self.ledger = Ledger(settings.warmup_us)
        self.batches: dict[SessionName, dict[int, int]] = {}
        self.lines = {served.name: i for i, served in enumerate(arrangement.situation.served)}
        self.frames = {
            entry.query.name: self._frames(arrangement, entry, partial_answers=partial_answers)
            for entry in scenario.queries
        }
        self._scenario = scenario
        self._settings = settings
        self._situation = arrangement.situation
        self._served = arrangement.situation.served
        self._slack = arrangement.slack
        self._policy = arrangement.policy()
        self._wakeup = Wakeup(self.world, self._woken)
        self._rng = random.Random(settings.seed)  # noqa: S311 - reproducible, not secret
        self._frontends = [BaselineFrontend(self, i) for i in range(scenario.frontends)]
        self._devices = [
            SharedDevice(
                self.world,
                self._ended,
                exclusive=not arrangement.time_shared,
                jitter=scenario.behaviours.get(
                    type_, DeviceBehaviour(jitter=settings.jitter)
                ).jitter,
                rng=self._rng,
            )
            for type_ in arrangement.situation.devices
        ]

    def offer(self) -> None:
        """Schedule the requests, as a simulation of the cluster does."""
        clients = Clients(self.world, self.ledger, self._frontends)
        clients.offer(self._scenario, 0, self._settings.seed + 1)

    def finish(self) -> None:
        """Run until everything is answered, however late.

        Raises:
            LedgerError: something is never answered.
            HopelessRunError: what the settings ask for is out of reach.
        """
        until_us = self._scenario.duration_us
        end_us = until_us
        allowed = bad_max(self._scenario, self._settings.good_min)
        run_hopefully(self.world, self.ledger, end_us, allowed)
        while self.ledger.unanswered and end_us < DRAIN_FACTOR * until_us:
            end_us += US_PER_S
            self.world.run_until(end_us)
        self.ledger.close()

    def start_stages(self, walk: QueryWalk, starts: Iterable[tuple[int, int]]) -> None:
        """Send the items of stages that may start; answer the query when nothing is left."""
        for stage, items in starts:
            for _ in range(items):
                self.send(walk.first_line + stage, walk.frontend, walk.request_id, walk, stage)
        # An item may be lost on the spot, and have answered the query already.
        if walk.finished and not walk.answered:
            walk.answered = True
            self._answer_query(walk)

    def send(
        self, line: Line, frontend: int, request_id: int, walk: QueryWalk | None, stage: int
    ) -> None:
        """An item begins its way to a device."""
        served = self._served[line]
        now_us = self.world.now_us
        deadline_us = now_us + served.slo_us - served.egress_us
        if walk is not None and self._slack:
            deadline_us = walk.due_us[stage] - served.egress_us
        item = Item(line, frontend, request_id, deadline_us, walk, stage)
        if served.ingress_us:
            self.world.at(now_us + served.ingress_us, self._arrived, item)
        else:
            self._arrived(item)

    def _frames(
        self, arrangement: Arrangement, entry: ScenarioQuery, *, partial_answers: bool
    ) -> _Frames:
        query = entry.query
        lines = [self.lines[stage_session_name(query.name, s.name)] for s in query.stages]
        budgets_us = [arrangement.situation.served[line].slo_us for line in lines]
        shape = shape_of(query, entry.fan_outs, partial_answers=partial_answers)
        return _Frames(lines[0], shape, stage_ends_us(shape, budgets_us))

    def _arrived(self, item: Item) -> None:
        self._perform(self._policy.arrived(item, self.world.now_us))

    def _woken(self) -> None:
        self._perform(self._policy.woken(self.world.now_us))

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                profile = self._served[effect.line].profiles[self._situation.devices[effect.device]]
                self._devices[effect.device].start(effect, profile)
            elif isinstance(effect, Drop):
                self._lose(effect.items, DropReason.DEADLINE)
            elif isinstance(effect, Preempt):
                self._devices[effect.start.device].stop(effect.start, effect.free_us)
            else:
                assert isinstance(effect, Refuse), effect
                self._lose(effect.items, DropReason.QUEUE_FULL)
        self._wakeup.set(self._policy.next_wakeup_us())

    def _ended(self, start: Start) -> None:
        served = self._served[start.line]
        sizes = self.batches.setdefault(served.name, {})
        sizes[len(start.items)] = sizes.get(len(start.items), 0) + 1
        now_us = self.world.now_us
        if served.egress_us:
            self.world.at(now_us + served.egress_us, self._reply, start.items, now_us)
        else:
            self._reply(start.items, now_us)
        self._perform(self._policy.finished(start, now_us))

    def _reply(self, items: tuple[Item, ...], finished_us: int) -> None:
        answered, frontends, now_us = self.ledger.answered, self._frontends, self.world.now_us
        for item in items:
            if item.walk is None:
                late = finished_us > item.deadline_us
                outcome = OUTCOMES[DropReason.LATE] if late else GOOD
                answered(frontends[item.frontend].name, item.request_id, outcome, now_us)
            elif item.walk.failed is None:
                self.start_stages(item.walk, item.walk.found(item.stage, self._rng))

    def _lose(self, items: tuple[Item, ...], reason: DropReason) -> None:
        for item in items:
            if item.walk is None:
                name = self._frontends[item.frontend].name
                self.ledger.answered(name, item.request_id, OUTCOMES[reason], self.world.now_us)
            elif item.walk.failed is None:
                self.start_stages(item.walk, item.walk.lost(item.stage, reason))

    def _answer_query(self, walk: QueryWalk) -> None:
        now_us = self.world.now_us
        reason = walk.failed or (DropReason.LATE if now_us > walk.deadline_us else None)
        outcome = OUTCOMES[reason] if reason else GOOD
        self.ledger.answered(self._frontends[walk.frontend].name, walk.request_id, outcome, now_us)

    def report(self, policy: str) -> SimulationReport:
        """What came of it."""
        from_us, until_us = self.ledger.counted_from_us, self._scenario.duration_us
        return report_of(
            self._scenario,
            self.ledger,
            until_us,
            policy=policy,
            seed=self._settings.seed,
            batches=self.batches,
            devices=[
                DeviceUse(
                    backend=f"{type_}-{index}",
                    device=type_,
                    busy_us_by_second=self._devices[index].busy_us_by_second(from_us, until_us),
                )
                for index, type_ in enumerate(self._situation.devices)
            ],
            plans=1,
            events=self.world.events,
        )


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
    clock = MonotonicClock()
    started_us = clock.now_us()
    settings = settings or SimulationSettings(seed=scenario.seed)
    run = BaselineRun(arrangement, scenario, settings, partial_answers=partial_answers)
    run.offer()
    run.finish()
    return replace(run.report(name), wall_s=s_from_us(clock.now_us() - started_us))
