"""The scheduler engine: when to plan anew, and what to publish on the way to the plan.

Sans-io (``nexus.core.engine``). Every ``Observed`` brings the whole state; the engine keeps of it
only averages (rates, fan-outs, corrections) and the target plan. It plans when an epoch ends, when
a rate leaves its allocation, and at once when a backend or the catalogue changes; it rolls the plan
out step by step with every observation (rollout.py). Without the lease it watches, so that a
standby knows the rates when it takes over.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nexus.core.cluster import BackendState, BackendStatus, Catalogue
from nexus.core.device import DeviceSpec
from nexus.core.names import DeviceType, SessionName
from nexus.core.plan import BackendPlan, Plan
from nexus.core.routing import RoutingTable
from nexus.scheduler.absence import Watch, missing
from nexus.scheduler.allocation import Allocation
from nexus.scheduler.correction import Factors, updated_factors
from nexus.scheduler.events import (
    Effect,
    Event,
    LeaseGained,
    LeaseLost,
    Observed,
    PublishPlan,
    PublishTable,
    Scale,
)
from nexus.scheduler.expectation import Expectation, carried_rates, drifted, expect
from nexus.scheduler.fan_out import FanOutEstimator
from nexus.scheduler.measured_profiles import profiles_of
from nexus.scheduler.placement import hosts_of, place
from nexus.scheduler.planner import Planned, Workload, make_plan
from nexus.scheduler.rates import RateEstimator
from nexus.scheduler.rollout import Published, Target, Withdrawn, roll_out, spots_of
from nexus.scheduler.settings import DEFAULT, EpochSettings, PlannerSettings


class SchedulerEngine:
    """Decides for one cluster; drive it as any engine, with ``Observed`` about each second."""

    def __init__(
        self,
        planner: PlannerSettings = DEFAULT,
        epochs: EpochSettings | None = None,
        prices: Mapping[DeviceType, float] | None = None,
    ) -> None:
        """``prices`` weigh device types against each other; one not named costs 1."""
        self._planner = planner
        self._epochs = epochs or EpochSettings()
        self._prices = dict(prices or {})
        self._rates = RateEstimator()
        self._fan_outs = FanOutEstimator()
        self._factors: Factors = {}
        self._observed: Observed | None = None
        self._watch = Watch(self._epochs.settle_us)
        self._doubtful = False
        self._leading = False
        self._plan = Plan()
        self._table = RoutingTable()
        self._target = Target()
        self._planned_rates: dict[SessionName, float] = {}
        self._withdrawn: Withdrawn = {}
        self._epoch_due_us = 0
        self._rate_due_us = 0
        self._change_due_us: int | None = None
        self._carry_until_us = 0
        self._needed: deque[tuple[int, Mapping[DeviceType, int]]] = deque()
        self._scaled: Mapping[DeviceType, int] | None = None
        self.trigger = ""
        """Why the last event led to a plan: epoch, change or rate; empty when it did not."""

    @property
    def leading(self) -> bool:
        """Whether this scheduler holds the lease."""
        return self._leading

    @property
    def plan(self) -> Plan:
        """The newest plan, as published."""
        return self._plan

    @property
    def table(self) -> RoutingTable:
        """The newest routing table, as published."""
        return self._table

    def expected_rates(self, now_us: int) -> Mapping[SessionName, float]:
        """The rates that a plan made now would cover, query stages included, in items/s."""
        if self._observed is None:
            return {}
        return self._expectation(self._observed.catalogue, now_us).rates()

    def fan_outs(self) -> Mapping[SessionName, float]:
        """The fan-outs measured so far, by ``QUERY/STAGE``."""
        return self._fan_outs.measured()

    def handle(self, event: Event, now_us: int) -> tuple[Effect, ...]:
        """Take one event; effects come only while leading."""
        self.trigger = ""
        if isinstance(event, LeaseLost):
            self._leading = False
        elif isinstance(event, LeaseGained):
            self._gain(event, now_us)
        elif isinstance(event, Observed):
            self._observe(event, now_us)
        if not self._leading or self._observed is None:
            return ()
        self._doubtful = self._doubts(self._observed, now_us)
        if self._doubtful:
            return ()
        usable = [b for b in self._observed.backends if b.state is not BackendState.DRAINING]
        self.trigger = self._due(self._observed, now_us)
        if self.trigger and self._target.backends and not usable:
            # All gone at once is a store or a network that broke, not a reason to unload models.
            self._planned_at(now_us)
            self.trigger = ""
        scaled = self._make_plan(self._observed, usable, now_us) if self.trigger else ()
        return (*self._publish(self._observed), *scaled)

    def next_wakeup_us(self) -> int | None:
        """The end of the epoch, or of waiting for more changes; None when only a look helps."""
        if not self._leading or self._doubtful:
            return None
        if self._change_due_us is None:
            return self._epoch_due_us
        return min(self._epoch_due_us, self._change_due_us)

    def _gain(self, event: LeaseGained, now_us: int) -> None:
        """Take over where the last leader stopped."""
        self._leading = True
        self._plan = replace(event.plan, fence=event.fence)
        self._table = replace(event.table, fence=event.fence)
        self._target = _target_of(event.plan)
        self._withdrawn = _unrouted(event.plan, event.table)
        self._epoch_due_us = now_us + self._epochs.first_epoch_us
        self._rate_due_us = now_us + self._epochs.epoch_min_us
        self._carry_until_us = now_us + self._epochs.history_us
        self._change_due_us = None
        self._needed.clear()
        self._scaled = None

    def _doubts(self, observed: Observed, now_us: int) -> bool:
        """Whether someone is missing who may only not have reported yet: better do nothing."""
        return not self._watch.settled(now_us) and missing(
            self._table, observed.backends, observed.frontends
        )

    def _observe(self, event: Observed, now_us: int) -> None:
        self._watch.look(now_us)
        self._rates.observe(event.frontends, now_us)
        self._fan_outs.observe(event.frontends, now_us)
        self._factors = updated_factors(self._factors, event.catalogue, event.backends)
        before = self._observed
        changed = before is not None and _membership(before) != _membership(event)
        if changed and self._change_due_us is None:
            self._change_due_us = now_us + self._epochs.debounce_us
        self._observed = event

    def _due(self, observed: Observed, now_us: int) -> str:
        """The trigger that fires now, or ""."""
        if now_us >= self._epoch_due_us:
            return "epoch"
        if self._change_due_us is not None and now_us >= self._change_due_us:
            return "change"
        if now_us < self._rate_due_us:
            return ""
        expected = self._expectation(observed.catalogue, now_us).rates()
        watched = {
            name: rate
            for name, rate in expected.items()
            if self._rates.watched_us(_measured_as(name, observed.catalogue), now_us)
            >= self._epochs.history_us
        }
        moved = drifted(self._planned_rates, watched, self._rates, self._epochs)
        return "rate" if moved is not None else ""

    def _expectation(self, catalogue: Catalogue, now_us: int) -> Expectation:
        carried = (
            carried_rates(self._plan, catalogue, self._planner.headroom)
            if now_us < self._carry_until_us
            else {}
        )
        return expect(catalogue, self._rates, self._fan_outs, carried)

    def _make_plan(
        self, observed: Observed, usable: Sequence[BackendStatus], now_us: int
    ) -> tuple[Effect, ...]:
        """Plan anew: a new target, a new epoch, and how many devices that takes."""
        expectation = self._expectation(observed.catalogue, now_us)
        names = {status.backend for status in usable}
        previous = [plan for plan in self._target.backends if plan.backend in names]
        workload = self._workload(observed.catalogue, usable, expectation)
        planned = make_plan(
            workload,
            self._planner,
            splits=self._plan.splits,
            previous=previous,
            choose=lambda kept, fresh: self._choose(kept, fresh, previous, usable),
        )
        self._target = Target(
            backends=place(planned.nodes, hosts_of(usable, previous)).backends,
            infeasible=planned.infeasible,
            unplaced=planned.unplaced,
        )
        self._planned_rates = expectation.rates()
        self._plan = replace(
            self._plan,
            epoch=self._plan.epoch + 1,
            infeasible=planned.infeasible,
            splits=planned.splits,
            devices_needed=planned.devices_needed,
            lower_bound=planned.lower_bound,
            unmet=planned.unmet,
        )
        self._planned_at(now_us)
        return self._scale(planned, usable, now_us)

    def _planned_at(self, now_us: int) -> None:
        self._epoch_due_us = now_us + self._epochs.epoch_us
        self._rate_due_us = now_us + self._epochs.epoch_min_us
        self._change_due_us = None

    def _choose(
        self,
        kept: Allocation,
        fresh: Allocation,
        previous: Sequence[BackendPlan],
        usable: Sequence[BackendStatus],
    ) -> Allocation:
        """Keep what fits, unless packing afresh saves devices worth the movement."""
        if not kept.complete:
            return fresh
        saved = len(kept.nodes) - len(fresh.nodes)
        if saved <= 0 or not fresh.complete:
            return kept
        movement_us = place(fresh.nodes, hosts_of(usable, previous)).movement_us
        return fresh if saved * self._epochs.epoch_us > movement_us else kept

    def _workload(
        self, catalogue: Catalogue, usable: Sequence[BackendStatus], expectation: Expectation
    ) -> Workload:
        profiles = profiles_of(catalogue, self._factors)
        return Workload(
            devices=_devices(usable, catalogue, self._prices),
            profile=profiles.measured,
            offline=profiles.offline,
            sessions=expectation.sessions,
            queries=expectation.queries,
            batch_caps=profiles.batch_caps,
        )

    def _scale(
        self, planned: Planned, usable: Sequence[BackendStatus], now_us: int
    ) -> tuple[Effect, ...]:
        """More devices at once, fewer only when no plan has needed them for a while."""
        if not self._needed:
            present: dict[DeviceType, int] = {}
            for status in usable:
                present[status.device] = present.get(status.device, 0) + 1
            self._needed.append((now_us, present))
        while self._needed and self._needed[0][0] <= now_us - self._epochs.release_us:
            self._needed.popleft()
        self._needed.append((now_us, planned.devices_needed))
        types = sorted({device for _, needed in self._needed for device in needed})
        wanted = {device: max(n.get(device, 0) for _, n in self._needed) for device in types}
        if wanted == self._scaled:
            return ()
        self._scaled = wanted
        return (Scale(wanted),)

    def _publish(self, observed: Observed) -> tuple[Effect, ...]:
        """The next step of the roll-out, if it differs from what is published."""
        step = roll_out(
            self._target,
            Published(
                backends=self._plan.backends,
                sessions=self._table.sessions,
                pools=self._table.pools,
                table_version=self._table.version,
                withdrawn=self._withdrawn,
            ),
            observed.backends,
            observed.frontends,
            profiles_of(observed.catalogue, self._factors).of_placement,
        )
        self._withdrawn = step.withdrawn
        effects: list[Effect] = []
        if step.backends != self._plan.backends or self.trigger:
            self._plan = replace(self._plan, version=self._plan.version + 1, backends=step.backends)
            effects.append(PublishPlan(self._plan))
        if (step.sessions, step.pools) != (self._table.sessions, self._table.pools):
            self._table = replace(
                self._table,
                version=self._table.version + 1,
                epoch=self._plan.epoch,
                sessions=step.sessions,
                pools=step.pools,
            )
            effects.append(PublishTable(self._table))
        return tuple(effects)


def _membership(observed: Observed) -> tuple[object, ...]:
    """What, when it changes, calls for a new plan at once."""
    return (
        observed.catalogue.version,
        tuple(
            (b.backend, b.incarnation, b.device, b.state is BackendState.DRAINING)
            for b in observed.backends
        ),
    )


def _target_of(plan: Plan) -> Target:
    """The target of a published plan: all but the placements on their way out."""
    backends = []
    for backend in plan.backends:
        staying = tuple(p for p in backend.placements if p.rate > 0 or p.spare)
        if staying:
            backends.append(replace(backend, placements=staying))
    return Target(backends=tuple(backends), infeasible=plan.infeasible)


def _unrouted(plan: Plan, table: RoutingTable) -> dict[tuple[str, str], int]:
    """Placements on their way out when the last leader stopped: wait for the table it left."""
    leaving = {
        (backend.backend, placement.session)
        for backend in plan.backends
        for placement in backend.placements
        if placement.rate == 0 and not placement.spare
    }
    routed = spots_of(table.sessions, table.pools)
    return dict.fromkeys(leaving - routed, table.version)


def _measured_as(session: SessionName, catalogue: Catalogue) -> str:
    """The key under which arrivals of a session are counted: of a stage, those of its query."""
    query = session.split("/", maxsplit=1)[0]
    return query if any(entry.name == query for entry in catalogue.queries) else session


def _devices(
    usable: Sequence[BackendStatus],
    catalogue: Catalogue,
    prices: Mapping[DeviceType, float],
) -> tuple[DeviceSpec, ...]:
    """The live device types; with none alive, those there are profiles for, none of each."""
    by_type: dict[DeviceType, list[BackendStatus]] = {}
    for status in usable:
        by_type.setdefault(status.device, []).append(status)
    if not by_type:
        by_type = {profile.device: [] for profile in catalogue.profiles}
    return tuple(
        DeviceSpec(
            type=device,
            count=len(statuses),
            memory_bytes=min((s.memory_bytes for s in statuses if s.memory_bytes), default=0),
            price=prices.get(device, 1.0),
        )
        for device, statuses in sorted(by_type.items())
    )
