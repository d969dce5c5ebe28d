"""From the situation of a live cluster to its next target. Pure.

``replanned`` is what an epoch does: anything may move where that pays. ``grown`` is what the tuner
does between epochs: what the plan has stays where it is, what is missing is added, on warm spares
first; a cluster without the devices for that is left as it is until the next epoch.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from nexus.core.cluster import BackendStatus, Catalogue
from nexus.core.names import BackendName, DeviceType, QueryName, SessionName, StageName
from nexus.core.plan import BackendPlan
from nexus.scheduler.allocation import Allocation
from nexus.scheduler.degradation import MakePlan, plan_with_ladder, rungs_of, steps_down_only
from nexus.scheduler.expectation import Expectation
from nexus.scheduler.hosts import hosts_of
from nexus.scheduler.hysteresis import cheaper
from nexus.scheduler.measured_profiles import MeasuredProfiles
from nexus.scheduler.membership import device_specs
from nexus.scheduler.placement import place
from nexus.scheduler.planner import Choose, Planned, Workload, make_plan
from nexus.scheduler.prefix_groups import PREFIX_PARAMETER
from nexus.scheduler.rollout import Target
from nexus.scheduler.settings import PlannerSettings
from nexus.scheduler.spares import spare_plans


class Ladder(Protocol):
    """Makes a plan, stepping sessions down to variants where devices are short."""

    def __call__(self, workload: Workload, *, make: MakePlan) -> Planned:
        """The plan, in declared names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a plan is made from: who is there, what they should do, and what they do now.

    ``lost`` backends were restarted or are gone: what they had counts as nowhere.
    """

    usable: tuple[BackendStatus, ...]
    catalogue: Catalogue
    profiles: MeasuredProfiles
    expectation: Expectation
    target: Target
    splits: Mapping[QueryName, Mapping[StageName, int]]
    dispersion: Callable[[SessionName], float]
    may_be_even: Callable[[str], bool]
    prices: Mapping[DeviceType, float]
    lost: AbstractSet[BackendName] = frozenset()

    @property
    def previous(self) -> tuple[BackendPlan, ...]:
        """The target's plans of backends that still do as it says, spares included."""
        names = {status.backend for status in self.usable} - self.lost
        return tuple(plan for plan in self.target.backends if plan.backend in names)

    @property
    def counted(self) -> tuple[BackendPlan, ...]:
        """The same without spares."""
        return tuple(plan for plan in self.previous if not is_spare(plan))

    @property
    def workload(self) -> Workload:
        """What the planner must serve, and with what."""
        expectation = self.expectation.believed(self.may_be_even)
        return Workload(
            devices=device_specs(self.usable, self.catalogue, self.prices),
            profile=self.profiles.measured,
            offline=self.profiles.offline,
            sessions=expectation.sessions,
            queries=expectation.queries,
            batch_caps=self.profiles.batch_caps,
            prefix_groups={
                model.name: group
                for model in self.catalogue.models
                if (group := model.parameters.get(PREFIX_PARAMETER)) is not None
            },
        )


def is_spare(plan: BackendPlan) -> bool:
    """Whether a backend is only kept warm."""
    return all(placement.spare for placement in plan.placements)


def replanned(
    situation: Situation, settings: PlannerSettings, epoch_us: int
) -> tuple[Planned, Target]:
    """Plan anew; ``epoch_us`` is for how long a plan is meant to last."""
    hosts = hosts_of(situation.usable, situation.previous)

    def movement_us(allocation: Allocation) -> float:
        return place(allocation.nodes, hosts).movement_us

    def choose(kept: Allocation, fresh: Callable[[], Allocation]) -> Allocation:
        return cheaper(kept, fresh, movement_us, epoch_us, search=settings.search_packings)

    rungs = rungs_of(situation.counted, situation.catalogue.sessions)
    planned = _with_ladder(situation, settings, choose, partial(plan_with_ladder, rungs=rungs))
    return planned, _target(planned, situation, settings)


def grown(situation: Situation, settings: PlannerSettings) -> tuple[Planned, Target | None]:
    """Add what is missing and leave the rest; no target where the devices do not suffice."""
    rungs = rungs_of(situation.counted, situation.catalogue.sessions)
    ladder = partial(steps_down_only, rungs=rungs)
    planned = _with_ladder(situation, settings, lambda kept, _fresh: kept, ladder)
    present: dict[DeviceType, int] = {}
    for status in situation.usable:
        present[status.device] = present.get(status.device, 0) + 1
    enough = all(n <= present.get(device, 0) for device, n in planned.devices_needed.items())
    return planned, _target(planned, situation, settings) if enough else None


def _with_ladder(
    situation: Situation, settings: PlannerSettings, choose: Choose, ladder: Ladder
) -> Planned:
    def make(workload: Workload) -> Planned:
        return make_plan(
            workload,
            settings,
            splits=situation.splits,
            previous=situation.counted,
            choose=choose,
        )

    if not settings.degrade:
        return make(situation.workload)
    return ladder(situation.workload, make=make)


def _target(planned: Planned, situation: Situation, settings: PlannerSettings) -> Target:
    """The plan's nodes on backends, and the idle ones kept warm."""
    backends = place(planned.nodes, hosts_of(situation.usable, situation.previous)).backends
    target = Target(backends=backends, infeasible=planned.infeasible, unplaced=planned.unplaced)
    if settings.tuner is None or not settings.tuner.spare_share:
        return target
    spares = spare_plans(
        backends, situation.usable, situation.dispersion, share=settings.tuner.spare_share
    )
    every = sorted((*backends, *spares), key=lambda plan: plan.backend)
    return replace(target, backends=tuple(every))
