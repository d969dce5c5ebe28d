"""The query SLO split: how much of a query's latency each stage may take (paper section 6.2).

Minimise the devices of all stages, sum of c_v(budget_v), such that on every path from a root to a
leaf the budgets sum to at most the SLO. Measured stage rates carry the fan-out. The search is exact
on a grid of SLO / segments for every DAG of at most two conditioned events (``milestones``): trees,
forests (the roots share the frame), fork-joins and small entangled DAGs. Beyond that, all stages of
one depth share one budget, which is always valid and rarely far off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nexus.core.names import StageName
from nexus.core.query import Query
from nexus.core.units import ms_from_us
from nexus.scheduler.milestones import SINK, SOURCE, Arc, Event, conditioned_events, solve
from nexus.scheduler.settings import SplitSettings
from nexus.scheduler.stage_cost import INFINITE, Curve, StageOption, cost_curve, least_budget

SEGMENTS_BY_CONDITIONED = {1: 50, 2: 12}
"""The finest grid that keeps an entangled DAG fast; series-parallel ones use the full grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Budgets in us by stage, and the devices they cost; or the reason why there are none."""

    budgets_us: Mapping[StageName, int] = field(default_factory=dict)
    cost: float = INFINITE
    reason: str = ""


def split_query(
    query: Query,
    rates: Mapping[StageName, float],
    options: Mapping[StageName, Sequence[StageOption]],
    settings: SplitSettings,
    previous: Mapping[StageName, int] | None = None,
) -> Split:
    """Divide the SLO of a query between its stages.

    ``rates`` are calls per second of each stage; ``options`` the device types that could run it.
    ``previous`` stays in force unless the new split saves more than ``settings.saving_min``.
    """
    segments, arcs = _grid(query, settings)
    epsilon_us = max(1, query.slo_us // segments)

    def curve(stage: StageName) -> Curve:
        return cost_curve(
            options[stage],
            rates[stage],
            epsilon_us=epsilon_us,
            segments=segments,
            cost=settings.cost,
        )

    curves = {stage.name: curve(stage.name) for stage in query.stages}
    new = (
        even_split(query) if settings.even else _cheapest(query, arcs, curves, segments, epsilon_us)
    )
    new_cost = _cost(new, curves, epsilon_us)
    if new_cost == INFINITE:
        return Split(reason=_why_infeasible(query, curves, epsilon_us))
    if previous and within_slo(query, previous):
        old_cost = _cost(previous, curves, epsilon_us)
        if new_cost >= (1 - settings.saving_min) * old_cost:
            return Split(budgets_us=dict(previous), cost=old_cost)
    return Split(budgets_us=new, cost=new_cost)


def even_split(query: Query) -> dict[StageName, int]:
    """The SLO divided evenly along the longest path through each stage."""
    before: dict[StageName, int] = {}
    for stage in query.stages:
        before[stage.name] = 1 + max((before[parent] for parent in stage.after), default=0)
    behind: dict[StageName, int] = {}
    for stage in reversed(query.stages):
        children = query.children(stage.name)
        behind[stage.name] = 1 + max((behind[child.name] for child in children), default=0)
    return {name: query.slo_us // (before[name] + behind[name] - 1) for name in before}


def within_slo(query: Query, budgets_us: Mapping[StageName, int]) -> bool:
    """Whether every stage has a budget and every path's budgets sum to at most the SLO."""
    if set(budgets_us) != {stage.name for stage in query.stages}:
        return False
    return longest_path_us(query, budgets_us)[0] <= query.slo_us


def longest_path_us(
    query: Query, budgets_us: Mapping[StageName, int]
) -> tuple[int, tuple[StageName, ...]]:
    """The path with the largest sum of budgets: the sum and the stages on it."""
    best: dict[StageName, tuple[int, tuple[StageName, ...]]] = {}
    for stage in query.stages:
        start: tuple[int, tuple[StageName, ...]] = max(
            (best[parent] for parent in stage.after), default=(0, ())
        )
        best[stage.name] = (start[0] + budgets_us[stage.name], (*start[1], stage.name))
    return max(best.values())


def event_arcs(query: Query) -> tuple[Arc, ...]:
    """The query as stages between events, curves still empty.

    Stages that wait for the same parents start at one event. A stage whose children all wait for
    the same parents is finished when they start; another is finished at an event of its own, and
    arcs without a stage say that its children start no earlier.
    """
    starts: dict[frozenset[StageName], Event] = {frozenset(): SOURCE}
    for stage in query.stages:
        starts.setdefault(frozenset(stage.after), SINK + len(starts))
    arcs: list[Arc] = []
    for index, stage in enumerate(query.stages):
        waiting = sorted({starts[key] for key in starts if stage.name in key})
        if len(waiting) <= 1:
            finish = waiting[0] if waiting else SINK
        else:
            finish = SINK + len(starts) + index
            arcs += (Arc(finish, start, ()) for start in waiting)
        arcs.append(Arc(starts[frozenset(stage.after)], finish, (), stage=stage.name))
    return tuple(arcs)


def _grid(query: Query, settings: SplitSettings) -> tuple[int, tuple[Arc, ...]]:
    arcs = event_arcs(query)
    conditioned = conditioned_events(arcs)
    if conditioned == 0:
        return settings.segments, arcs
    if conditioned in SEGMENTS_BY_CONDITIONED:
        return min(settings.segments, SEGMENTS_BY_CONDITIONED[conditioned]), arcs
    return settings.segments, _layered_arcs(query)


def _layered_arcs(query: Query) -> tuple[Arc, ...]:
    """One event between depths: a chain of parallel stages, valid for any DAG."""
    depth: dict[StageName, int] = {}
    for stage in query.stages:
        depth[stage.name] = max((depth[parent] + 1 for parent in stage.after), default=0)
    last = max(depth.values())

    def event(level: int) -> Event:
        return SOURCE if level == 0 else SINK if level == last + 1 else SINK + level

    return tuple(Arc(event(d), event(d + 1), (), stage=name) for name, d in depth.items())


def _cheapest(
    query: Query,
    arcs: tuple[Arc, ...],
    curves: Mapping[StageName, Curve],
    segments: int,
    epsilon_us: int,
) -> dict[StageName, int]:
    free = (0.0,) * (segments + 1)
    priced = tuple(
        Arc(arc.tail, arc.head, curves.get(arc.stage, free), stage=arc.stage) for arc in arcs
    )
    solution = solve(priced, segments)
    if solution.cost == INFINITE:
        return {stage.name: 0 for stage in query.stages}
    return {stage: budget * epsilon_us for stage, budget in solution.budgets.items()}


def _cost(
    budgets_us: Mapping[StageName, int], curves: Mapping[StageName, Curve], epsilon_us: int
) -> float:
    return sum(
        curve[min(len(curve) - 1, budgets_us[stage] // epsilon_us)]
        for stage, curve in curves.items()
    )


def _why_infeasible(query: Query, curves: Mapping[StageName, Curve], epsilon_us: int) -> str:
    least: dict[StageName, int] = {}
    for stage, curve in curves.items():
        budget = least_budget(curve)
        if budget is None:
            return f"stage {stage} alone needs more than the SLO of {ms_from_us(query.slo_us):g} ms"
        least[stage] = budget * epsilon_us
    total_us, path = longest_path_us(query, least)
    if total_us <= query.slo_us:
        return "the even split leaves a stage less than it needs"
    return (
        f"{' -> '.join(path)} needs at least {ms_from_us(total_us):g} ms, "
        f"the SLO is {ms_from_us(query.slo_us):g} ms"
    )
