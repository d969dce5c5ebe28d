"""From load to a plan: split the queries' SLOs, choose devices, pack. Pure, and all in one call.

``nexus plan`` and the epoch engine both call ``make_plan``; the simulator therefore runs the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from nexus.core.names import (
    DeviceType,
    ModelName,
    QueryName,
    SessionName,
    StageName,
    stage_session_name,
)
from nexus.core.plan import BackendPlan, Infeasible
from nexus.core.query import Per, Query, Stage
from nexus.core.session import Session, SessionLoad
from nexus.scheduler.allocation import Allocation, Rules, allocate, keep, squeezed
from nexus.scheduler.candidate import Candidate
from nexus.scheduler.candidates import (
    CandidateRules,
    batched_together,
    candidates_of,
    no_profile_reason,
)
from nexus.scheduler.co_batching import groups_of
from nexus.scheduler.collection import collection_deferred
from nexus.scheduler.crowding import crowd
from nexus.scheduler.evenness import evened
from nexus.scheduler.fleet import covered_sessions, replicas_reason
from nexus.scheduler.packing import Node
from nexus.scheduler.pool_size import pool_rules
from nexus.scheduler.pooling import PlannedPool
from nexus.scheduler.settings import PlannerSettings
from nexus.scheduler.slack import with_slack_spent
from nexus.scheduler.split import Split, split_query
from nexus.scheduler.stage_cost import StageOption
from nexus.scheduler.stage_rates import stage_rates
from nexus.scheduler.workload import ProfileOf, QueryLoad, Workload

__all__ = ["Planned", "ProfileOf", "QueryLoad", "Workload", "lower_bound", "make_plan"]

NOTHING_IN_FORCE = "no plan was in force: planned afresh"

Splits = Mapping[QueryName, Mapping[StageName, int]]
Choose = Callable[[Allocation, Callable[[], Allocation]], Allocation]
"""(what goes on from the previous plan, how to plan afresh) -> the one to take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan before it has backends' names, and what it was made from.

    ``loads`` are the sessions it serves (stages of queries included) at the rates expected;
    ``nodes`` are all devices, those of the ``pools`` first; ``unmet`` is what the devices do not
    cover of the loads, ``unplaced`` those that found no room at all. ``replanning`` is why the plan
    goes on from the previous one, or does not (hysteresis.py).
    """

    loads: tuple[SessionLoad, ...]
    nodes: tuple[Node, ...]
    pools: tuple[PlannedPool, ...]
    infeasible: tuple[Infeasible, ...]
    splits: Splits
    unmet: Mapping[SessionName, float]
    unplaced: tuple[Session, ...]
    devices_needed: Mapping[DeviceType, int]
    lower_bound: Mapping[DeviceType, float]
    replanning: str = ""
    unmet_reasons: Mapping[SessionName, str] = field(default_factory=dict)


@collection_deferred()
def make_plan(
    workload: Workload,
    settings: PlannerSettings,
    *,
    splits: Splits | None = None,
    previous: Sequence[BackendPlan] = (),
    choose: Choose | None = None,
) -> Planned:
    """Plan the whole workload.

    ``splits`` are those in force, which only a real gain displaces. ``previous`` is the plan in
    force, of backends that are still there: ``choose`` says whether to go on from it.
    """
    loads, infeasible, budgets = _all_loads(workload, settings, splits or {})
    rules = _rules(settings)
    asked = CandidateRules(workload, settings, rules.pools)
    candidates, refused = candidates_of(loads, asked)
    infeasible += refused
    batched = partial(batched_together, candidates, asked)

    def fresh() -> Allocation:
        return allocate(batched({}), workload.devices, rules, previous)

    if choose is not None and previous:
        going_on = batched(groups_of(previous))
        allocation = choose(keep(going_on, workload.devices, rules, previous), fresh)
    else:
        allocation = fresh()
    why = allocation.why or NOTHING_IN_FORCE
    missing = dict(allocation.missing)
    if missing:
        candidates = batched(groups_of(previous))
        allocation = squeezed(candidates, workload.devices, rules, previous)
    own = allocation.own
    if settings.spend_slack:
        own = evened([with_slack_spent(node) for node in own])
    if missing:
        placed = covered_sessions((*allocation.nodes, *own))
        own = crowd(own, [c.own for c in candidates if c.own and c.name not in placed])
    nodes = replace(allocation, own=tuple(own)).nodes
    placed = covered_sessions(nodes)
    beyond_help = {entry.session for entry in infeasible}
    served = tuple(load for load in loads if load.session.name not in beyond_help)
    return Planned(
        loads=served,
        nodes=nodes,
        pools=allocation.pools,
        infeasible=tuple(infeasible),
        splits=budgets,
        unmet=_unmet(served, placed, settings),
        unplaced=tuple(load.session for load in served if load.session.name not in placed),
        devices_needed=_needed(nodes, missing),
        lower_bound=lower_bound(served, workload),
        replanning=why,
        unmet_reasons=_unmet_reasons(candidates, placed),
    )


def lower_bound(loads: Sequence[SessionLoad], workload: Workload) -> dict[DeviceType, float]:
    """Devices if every batch were the best one, full, back to back; SLOs and packing ignored."""
    bound: dict[DeviceType, float] = {}
    cheapest: dict[ModelName, tuple[float, DeviceType, float]] = {}
    for load in loads:
        model = load.session.model
        if model not in cheapest:
            cheapest[model] = _cheapest(model, workload)
        _, device, throughput = cheapest[model]
        bound[device] = bound.get(device, 0.0) + load.rate / throughput
    return bound


def _cheapest(model: ModelName, workload: Workload) -> tuple[float, DeviceType, float]:
    """The price of a model's item at best, the device type that has it, and the throughput."""
    return min(
        (spec.price / profile.best_throughput, spec.type, profile.best_throughput)
        for spec in workload.devices
        if (profile := workload.profile(model, spec.type)) is not None
    )


def _all_loads(
    workload: Workload, settings: PlannerSettings, splits: Splits
) -> tuple[list[SessionLoad], list[Infeasible], dict[QueryName, dict[StageName, int]]]:
    """Sessions as declared, and one for every stage of every query that can be split."""
    loads = list(workload.sessions)
    infeasible: list[Infeasible] = []
    budgets: dict[QueryName, dict[StageName, int]] = {}
    for entry in workload.queries:
        query = entry.query
        rates = {
            stage: max(rate, settings.rate_min)
            for stage, rate in stage_rates(query, entry.rate, entry.fan_outs).items()
        }
        reason, budget = _split(entry.query, rates, workload, settings, splits)
        if reason:
            names = [stage_session_name(query.name, stage.name) for stage in query.stages]
            infeasible += [Infeasible(name, reason) for name in names]
            continue
        budgets[query.name] = budget
        loads += (
            SessionLoad(
                Session(
                    model=stage.model,
                    slo_us=budget[stage.name],
                    name=stage_session_name(query.name, stage.name),
                    arrives_evenly=query.arrives_evenly and _is_called_evenly(stage),
                ),
                rates[stage.name],
            )
            for stage in query.stages
        )
    return loads, infeasible, budgets


def _is_called_evenly(stage: Stage) -> bool:
    """Whether a stage is called as evenly as frames come: the same number of times for each."""
    return stage.per is Per.FRAME and not stage.after and stage.fan_out.is_integer()


def _split(
    query: Query,
    rates: Mapping[StageName, float],
    workload: Workload,
    settings: PlannerSettings,
    splits: Splits,
) -> tuple[str, dict[StageName, int]]:
    """The reason why the query cannot be served, or its budgets."""
    headroom_rates = {stage: rate / settings.headroom for stage, rate in rates.items()}
    previous = splits.get(query.name)
    split = Split()
    for source in filter(None, (workload.profile, workload.offline)):
        options: dict[StageName, list[StageOption]] = {}
        for stage in query.stages:
            options[stage.name] = _stage_options(stage.model, source, workload, settings)
            if not options[stage.name]:
                return no_profile_reason(stage.model, workload.devices), {}
        split = split_query(query, headroom_rates, options, settings.split, previous)
        if not split.reason:
            break
    return split.reason, dict(split.budgets_us)


def _stage_options(
    model: ModelName, source: ProfileOf, workload: Workload, settings: PlannerSettings
) -> list[StageOption]:
    return [
        StageOption(
            profile=profile,
            batch_cap=workload.batch_caps.get(model, profile.max_batch),
            price=device.price,
            network_us=settings.network_us,
        )
        for device in workload.devices
        if (profile := source(model, device.type)) is not None
    ]


def _rules(settings: PlannerSettings) -> Rules:
    return Rules(
        headroom=settings.headroom,
        search=settings.search_packings,
        pools=pool_rules(settings),
    )


def _unmet(
    loads: Sequence[SessionLoad], rates: Mapping[SessionName, float], settings: PlannerSettings
) -> dict[SessionName, float]:
    gaps = {load.session.name: load.rate - rates.get(load.session.name, 0.0) for load in loads}
    tolerance = settings.rate_min * 1e-3
    return {name: gap for name, gap in gaps.items() if gap > tolerance}


def _unmet_reasons(
    candidates: Sequence[Candidate], placed: Mapping[SessionName, float]
) -> dict[SessionName, str]:
    """Why sessions are not covered whose own limit of replicas is to blame."""
    reasons = {
        candidate.name: replicas_reason(candidate.own, placed.get(candidate.name, 0.0))
        for candidate in candidates
        if candidate.own is not None and candidate.own.demands[0].session.replicas_max
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _needed(nodes: Sequence[Node], missing: Mapping[DeviceType, int]) -> dict[DeviceType, int]:
    needed = dict(missing)
    for node in nodes:
        needed[node.device.type] = needed.get(node.device.type, 0) + 1
    return needed
