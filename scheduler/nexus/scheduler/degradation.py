"""The degradation ladder: cheaper variants before anything is left unmet (ADR 0025). Pure.

A session may name cheaper models that could stand in for its own, best first: its *rungs*. When the
devices do not suffice, sessions step down, those first whose step saves the most device time; a
session that its model is too slow for steps down until one is fast enough. They step up again when
the plan holds at ``UP_MARGIN`` times the rates, so that a rate at the brink does not change models
every epoch.

A session on a rung is planned under a name of its own (``variant_session_name``): a change of model
is then rolled out as any other change of place.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from nexus.core.names import (
    ModelName,
    SessionName,
    declared_session,
    variant_of,
    variant_session_name,
)
from nexus.core.plan import BackendPlan
from nexus.core.profile import Profile
from nexus.core.session import Session, SessionLoad
from nexus.core.units import US_PER_S
from nexus.scheduler.planner import Planned, Workload

UP_MARGIN = 1.1
"""Capacity must suffice for so much more than the rates before a better model comes back."""
DEFICIT_MARGIN = 1.1
"""What is missing is estimated; a little more than that is saved."""
ROUNDS_MAX = 4
"""Plans made on the way down; the last one takes all steps that are left."""

Rungs: TypeAlias = Mapping[SessionName, int]
"""How far down each session is; 0, its own model, is left out."""
MakePlan: TypeAlias = Callable[[Workload], Planned]


@dataclass(frozen=True, slots=True)
class Step:
    """One session's next rung, and the devices that taking it frees."""

    session: SessionName
    rung: int
    saved: float


def plan_with_ladder(workload: Workload, rungs: Rungs, make: MakePlan) -> Planned:
    """Plan; where devices are short, on as few rungs as it takes. ``rungs`` are those in force."""
    if rungs:
        ahead = _faster(workload, UP_MARGIN)
        above, _ = _stepped_down(ahead, {}, make)
        rungs = {name: min(rung, above.get(name, 0)) for name, rung in rungs.items()}
    return steps_down_only(workload, rungs, make)


def steps_down_only(workload: Workload, rungs: Rungs, make: MakePlan) -> Planned:
    """The same without stepping up: what the tuner may do between epochs."""
    _, planned = _stepped_down(workload, rungs, make)
    return in_declared_names(planned)


def rungs_of(plans: Iterable[BackendPlan], sessions: Iterable[Session]) -> dict[SessionName, int]:
    """The rungs that a plan has sessions on; a variant no longer declared counts as the own."""
    serving = {
        declared_session(placement.session): variant
        for plan in plans
        for placement in plan.placements
        if (variant := variant_of(placement.session))
    }
    return {
        session.name: session.variants.index(serving[session.name]) + 1
        for session in sessions
        if serving.get(session.name) in session.variants
    }


def on_rungs(loads: Iterable[SessionLoad], rungs: Rungs) -> tuple[SessionLoad, ...]:
    """The loads with every session on its rung."""
    return tuple(
        SessionLoad(_variant(load.session, rungs[load.session.name]), load.rate)
        if rungs.get(load.session.name)
        else load
        for load in loads
    )


def in_declared_names(planned: Planned) -> Planned:
    """What is said of sessions, under the names that people know."""
    return replace(
        planned,
        infeasible=tuple(
            replace(entry, session=declared_session(entry.session)) for entry in planned.infeasible
        ),
        unmet={declared_session(name): rate for name, rate in planned.unmet.items()},
        unmet_reasons={declared_session(n): why for n, why in planned.unmet_reasons.items()},
    )


def _stepped_down(
    workload: Workload, rungs: Rungs, make: MakePlan
) -> tuple[dict[SessionName, int], Planned]:
    """The rungs that suffice, at least ``rungs``, and the plan on them."""
    current = {name: rung for name, rung in rungs.items() if rung}
    planned = make(replace(workload, sessions=on_rungs(workload.sessions, current)))
    for round_ in range(ROUNDS_MAX):
        steps = _steps(workload, current)
        if not steps or not _is_short(planned, steps):
            break
        last = round_ == ROUNDS_MAX - 1
        current = _taken(steps, current, workload, planned, everything=last)
        planned = make(replace(workload, sessions=on_rungs(workload.sessions, current)))
    return current, planned


def _is_short(planned: Planned, steps: Iterable[Step]) -> bool:
    """Whether steps would help: rate is unmet for want of devices, or by their own sessions."""
    able = {step.session for step in steps}
    return bool(_wanting(planned)) or bool(able & _refused(planned))


def _wanting(planned: Planned) -> dict[SessionName, float]:
    """The rates that more devices would serve."""
    reasons = planned.unmet_reasons
    return {
        declared_session(name): rate for name, rate in planned.unmet.items() if name not in reasons
    }


def _refused(planned: Planned) -> set[SessionName]:
    """Sessions that only a faster model helps: infeasible, or at the most replicas they allow."""
    infeasible = {declared_session(entry.session) for entry in planned.infeasible}
    return infeasible | {declared_session(name) for name in planned.unmet_reasons}


def _taken(
    steps: Iterable[Step],
    current: Rungs,
    workload: Workload,
    planned: Planned,
    *,
    everything: bool,
) -> dict[SessionName, int]:
    """The rungs after the steps of the refused, and the best others until enough is freed."""
    taken = dict(current)
    refused = _refused(planned)
    missing = DEFICIT_MARGIN * _missing(workload, current, planned)
    for step in sorted(steps, key=lambda step: (-step.saved, step.session)):
        if step.session in refused or everything or missing > 0:
            taken[step.session] = step.rung
            missing -= step.saved
    return taken


def _steps(workload: Workload, current: Rungs) -> list[Step]:
    """Every session's next rung."""
    steps = []
    for load in workload.sessions:
        rung = current.get(load.session.name, 0)
        if rung < len(load.session.variants):
            before = _devices(workload, load, rung)
            after = _devices(workload, load, rung + 1)
            steps.append(Step(load.session.name, rung + 1, max(0.0, before - after)))
    return steps


def _missing(workload: Workload, current: Rungs, planned: Planned) -> float:
    """The devices that the unmet rates would keep busy."""
    unmet = _wanting(planned)
    stages = {name: rate for name, rate in unmet.items() if "/" in name}
    loads = {load.session.name: load.session for load in planned.loads}
    own = sum(
        _devices(workload, SessionLoad(load.session, unmet[load.session.name]), rung)
        for load in workload.sessions
        if load.session.name in unmet
        for rung in (current.get(load.session.name, 0),)
    )
    return own + sum(
        _devices(workload, SessionLoad(loads[name], rate), 0) for name, rate in stages.items()
    )


def _devices(workload: Workload, load: SessionLoad, rung: int) -> float:
    """How many devices a load keeps busy on a rung, on the type that does it cheapest."""
    session = _variant(load.session, rung)
    works = [
        work_us
        for device in workload.devices
        if (profile := workload.profile(session.model, device.type)) is not None
        and (work_us := _item_us(profile, session.slo_us)) is not None
    ]
    return load.rate * min(works, default=0.0) / US_PER_S


def _item_us(profile: Profile, slo_us: int) -> float | None:
    """The least device time of an item within the SLO (2 l(b), or l(b) where that is too long)."""
    for factor in (2, 1):
        items = [
            latency_us / batch
            for batch, latency_us in enumerate(profile.latencies_us, start=1)
            if factor * latency_us <= slo_us
        ]
        if items:
            return min(items)
    return None


def _variant(session: Session, rung: int) -> Session:
    """The session as it is planned on a rung."""
    if not rung:
        return session
    model: ModelName = session.variants[rung - 1]
    name = variant_session_name(session.name, model)
    return replace(session, model=model, name=name, variants=())


def _faster(workload: Workload, factor: float) -> Workload:
    return replace(
        workload,
        sessions=tuple(SessionLoad(s.session, s.rate * factor) for s in workload.sessions),
        queries=tuple(replace(query, rate=query.rate * factor) for query in workload.queries),
    )
