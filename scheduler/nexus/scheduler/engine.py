"""The scheduler engine: when to plan anew, and what to publish on the way to the plan.

Sans-io (``nexus.core.engine``). Every ``Observed`` brings the whole state; the engine keeps of it
only what it has learnt of the load (load_watch.py) and the target plan. It plans when an epoch
ends, when a rate leaves its allocation, and when a backend or the catalogue changes (replan.py);
between epochs it adds what a surge or the loss of a backend takes, at once (tuner.py). It rolls the
plan out step by step with every observation (rollout.py). Without the lease it watches, so that a
standby knows the rates when it takes over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nexus.core.catalogue_doubt import CatalogueDoubt
from nexus.core.cluster import BackendStatus, Catalogue
from nexus.core.names import BackendName, DeviceType, SessionName
from nexus.core.plan import Plan
from nexus.core.routing import RoutingTable
from nexus.scheduler.absence import Unreachable, Watch, missing
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
from nexus.scheduler.expectation import Expectation, carried_rates
from nexus.scheduler.load_watch import LoadWatch
from nexus.scheduler.measured_profiles import profiles_of
from nexus.scheduler.membership import lost, membership, rolled_out_by, usable_backends
from nexus.scheduler.planner import Planned
from nexus.scheduler.replan import Situation, grown, replanned
from nexus.scheduler.rollout import Published, Target, Withdrawn, roll_out, spots_of
from nexus.scheduler.scaling import DemandedDevices
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
        self._load = LoadWatch()
        self._observed: Observed | None = None
        self._watch = Watch(self._epochs.settle_us)
        self._declared = CatalogueDoubt()
        self._unreachable = Unreachable()
        self._doubtful = False
        self._leading = False
        self._plan = Plan()
        self._table = RoutingTable()
        self._target = Target()
        self._planned_for = Expectation((), ())
        self._withdrawn: Withdrawn = {}
        self._no_news: tuple[object, ...] | None = None
        self._lost: frozenset[BackendName] = frozenset()
        self._epoch_due_us = 0
        self._rate_due_us = 0
        self._grow_due_us = 0
        self._change_due_us: int | None = None
        self._carry_until_us = 0
        self._demanded = DemandedDevices()
        self._scaled: Mapping[DeviceType, int] | None = None
        self.trigger = ""
        """Why the last event led to a plan: epoch, change, rate, surge or loss; empty if not."""

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

    @property
    def doubts_catalogue(self) -> bool:
        """Whether everything declared has vanished at once, which is not believed yet."""
        return self._declared.doubted

    def expected_rates(self, now_us: int) -> Mapping[SessionName, float]:
        """The rates that a plan made now would cover, query stages included, in items/s."""
        if self._observed is None:
            return {}
        return self._expectation(self._observed.catalogue, now_us).rates()

    def fan_outs(self) -> Mapping[SessionName, float]:
        """The fan-outs measured so far, by ``QUERY/STAGE``."""
        return self._load.fan_outs()

    def handle(self, event: Event, now_us: int) -> tuple[Effect, ...]:
        """Take one event; effects come only while leading."""
        self.trigger = ""
        if isinstance(event, LeaseGained):
            return (*self._gain(event, now_us), *self._act(now_us))
        if isinstance(event, LeaseLost):
            self._leading = False
        elif isinstance(event, Observed):
            self._observe(event, now_us)
        return self._act(now_us)

    def next_wakeup_us(self) -> int | None:
        """The end of the epoch, or of waiting for more changes; None when only a look helps."""
        if not self._leading or self._doubtful:
            return None
        if self._change_due_us is None:
            return self._epoch_due_us
        return min(self._epoch_due_us, self._change_due_us)

    def _act(self, now_us: int) -> tuple[Effect, ...]:
        """Plan if something calls for it, and go one step further with the roll-out."""
        if not self._leading or self._observed is None:
            return ()
        self._doubtful = self._doubts(self._observed, now_us)
        if self._doubtful:
            return ()
        usable = usable_backends(self._observed)
        self.trigger = self._due(self._observed, now_us)
        if self.trigger and self._target.backends and not usable:
            # All gone at once is a store or a network that broke, not a reason to unload models.
            self._planned_at(now_us)
            self.trigger = ""
        scaled = self._make_plan(self._observed, usable, now_us) if self.trigger else ()
        return (*self._publish(self._observed), *scaled)

    def _gain(self, event: LeaseGained, now_us: int) -> tuple[Effect, ...]:
        """Take over where the last leader stopped.

        A store that has lost that gets it back from here at once, under the new fence: whoever
        starts next needs a table, and nothing else may call for another for a long time.
        """
        self._leading = True
        newest = (event.plan.version, event.table.version)
        stored = newest >= (self._plan.version, self._table.version)
        if stored:
            self._plan, self._table = event.plan, event.table
        else:
            self._distrust_absences()
        self._plan = replace(self._plan, fence=event.fence)
        self._table = replace(self._table, fence=event.fence)
        self._target = _target_of(self._plan)
        self._withdrawn = _unrouted(self._plan, self._table)
        self._no_news = None
        self._epoch_due_us = now_us + self._epochs.first_epoch_us
        self._rate_due_us = now_us + self._epochs.epoch_min_us
        self._carry_until_us = now_us + self._epochs.history_us
        self._change_due_us = None
        self._lost = frozenset()
        self._demanded = DemandedDevices()
        self._scaled = None
        return () if stored else (PublishPlan(self._plan), PublishTable(self._table))

    def _distrust_absences(self) -> None:
        """The store was emptied: those who report are there, but who does not may be, too."""
        self._watch.restart()
        self._lost = frozenset()

    def _doubts(self, observed: Observed, now_us: int) -> bool:
        """Whether someone is missing who may only not have reported yet: better do nothing."""
        return not self._watch.settled(now_us) and missing(
            self._table, observed.backends, observed.frontends
        )

    def _observe(self, event: Observed, now_us: int) -> None:
        doubted = self._declared.doubted
        catalogue = self._declared.believed(event.catalogue, now_us)
        if self._declared.doubted and not doubted:
            self._distrust_absences()
        self._watch.look(now_us)
        event = replace(
            event,
            catalogue=catalogue,
            backends=self._unreachable.among(self._table, event.backends, event.frontends, now_us),
        )
        self._load.observe(event, now_us)
        before, self._observed = self._observed, event
        if before is None or membership(before) == membership(event):
            return
        if not self._doubts(event, now_us):
            self._lost |= lost(before, event)
        if self._change_due_us is None:
            self._change_due_us = now_us + self._epochs.debounce_us

    def _due(self, observed: Observed, now_us: int) -> str:
        """The trigger that fires now, or ""."""
        if now_us >= self._epoch_due_us:
            return "epoch"
        if self._change_due_us is not None and now_us >= self._change_due_us:
            return "change"
        growth = self._growth_due(observed, now_us)
        if growth or now_us < self._rate_due_us:
            return growth
        expectation = self._expectation(observed.catalogue, now_us)
        planned = self._planned_for.rates()
        moved = self._load.drift(planned, expectation, self._epochs, now_us)
        return "rate" if moved is not None else ""

    def _growth_due(self, observed: Observed, now_us: int) -> str:
        """What the tuner must act on now: the loss of a backend, a surge, or nothing ("")."""
        tuner = self._planner.tuner
        if tuner is None or not self._planned_for.covers(observed.catalogue):
            return ""
        planned = {
            key: max(rate, self._planner.rate_min)
            for key, rate in self._planned_for.counted().items()
        }
        found = self._load.surge(planned, tuner, now_us)
        routed = {plan.backend for plan in self._target.backends}
        if self._lost & routed:
            return "loss"
        return "surge" if found and now_us >= self._grow_due_us else ""

    def _expectation(self, catalogue: Catalogue, now_us: int) -> Expectation:
        carried = (
            carried_rates(self._plan, catalogue, self._planner.headroom)
            if now_us < self._carry_until_us
            else {}
        )
        return self._load.expectation(catalogue, carried, now_us)

    def _make_plan(
        self, observed: Observed, usable: Sequence[BackendStatus], now_us: int
    ) -> tuple[Effect, ...]:
        """Plan anew, or add to the plan, as the trigger says; and how many devices that takes."""
        situation = self._situation(observed, usable, now_us)
        if self.trigger in ("loss", "surge"):
            self._lost = frozenset()
            planned, target = grown(situation, self._planner)
            if target is None:
                self.trigger = ""
                self._grow_due_us = now_us + self._epochs.epoch_min_us
                return self._scale(planned, usable, now_us)
        else:
            planned, target = replanned(situation, self._planner, self._epochs.epoch_us)
            self._planned_at(now_us)
        self._target = target
        self._planned_for = situation.expectation
        self._plan = replace(
            self._plan,
            epoch=self._plan.epoch + 1,
            infeasible=planned.infeasible,
            splits=planned.splits,
            devices_needed=planned.devices_needed,
            lower_bound=planned.lower_bound,
            unmet=planned.unmet,
            replanning=planned.replanning,
            unmet_reasons=planned.unmet_reasons,
        )
        return self._scale(planned, usable, now_us)

    def _situation(
        self, observed: Observed, usable: Sequence[BackendStatus], now_us: int
    ) -> Situation:
        expectation = self._expectation(observed.catalogue, now_us)
        if self.trigger in ("loss", "surge"):
            # Nothing gets less between epochs, whatever the averages say by now.
            expectation = self._planned_for.grown(expectation.counted())
        return Situation(
            usable=tuple(usable),
            catalogue=observed.catalogue,
            profiles=profiles_of(observed.catalogue, self._load.factors),
            expectation=expectation,
            target=self._target,
            splits=self._plan.splits,
            dispersion=self._load.dispersion,
            may_be_even=self._load.may_be_even,
            prices=self._prices,
            lost=self._lost,
        )

    def _planned_at(self, now_us: int) -> None:
        self._epoch_due_us = now_us + self._epochs.epoch_us
        self._rate_due_us = now_us + self._epochs.epoch_min_us
        self._grow_due_us = now_us
        self._change_due_us = None
        self._lost = frozenset()

    def _scale(
        self, planned: Planned, usable: Sequence[BackendStatus], now_us: int
    ) -> tuple[Effect, ...]:
        needed, release_us = planned.devices_needed, self._epochs.release_us
        self._demanded = self._demanded.after(needed, usable, now_us, release_us)
        wanted = self._demanded.wanted
        if wanted == self._scaled:
            return ()
        self._scaled = wanted
        return (Scale(wanted),)

    def _publish(self, observed: Observed) -> tuple[Effect, ...]:
        """The next step of the roll-out, if it differs from what is published."""
        news = (self._target, self._withdrawn, self._load.factors, *rolled_out_by(observed))
        if news == self._no_news and not self.trigger:
            return ()
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
            profiles_of(observed.catalogue, self._load.factors).of_placement,
            models={s.name: s.model for s in observed.catalogue.sessions if s.variants},
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
        # Without news the same step comes out again: looks are many, and the table may be large.
        self._no_news = None if effects else news
        return tuple(effects)


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
