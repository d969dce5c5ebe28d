"""Exact budgets for a DAG of stages: minimise the sum of costs, every path within the whole.

Stages are arcs between *events* (a stage may start; a stage is finished). With source at time 0 and
sink at time ``segments``, the cost of stage u -> v is c(time_v - time_u). Three rewrites keep the
optimum and end in one arc from source to sink:

- parallel: two arcs between the same events share their interval: f + g;
- series: an event with one arc in and one out may lie anywhere between: the min-plus convolution of
  f and g (on a tree these two are exactly the dynamic program of the paper, section 6.2);
- condition: a graph that is not series-parallel keeps neither; then the time of one inner event is
  tried at every value, which ties its arcs to source and sink by shifted costs.

Forests and fork-joins are series-parallel. Conditioning costs a factor of ``segments`` for each
event: callers bound it with ``conditioned_events``.
"""

from dataclasses import dataclass, field

from nexus.scheduler.stage_cost import INFINITE, Curve

Event = int
SOURCE: Event = 0
SINK: Event = 1


@dataclass(frozen=True, slots=True)
class Arc:
    """``curve[d]`` is the cost of ``head`` being d later than ``tail``.

    ``inner`` tells how a rewritten arc divides its interval again; a stage's own arc has its name.
    ``outside`` is how much of the interval lies outside the arc it stands for (conditioning).
    """

    tail: Event
    head: Event
    curve: Curve
    stage: str = ""
    inner: tuple["Arc", ...] = ()
    series: bool = False
    outside: int = 0


@dataclass(slots=True)
class Solution:
    """The budget in segments of every stage, and the sum of costs (infinite: no solution)."""

    cost: float
    budgets: dict[str, int] = field(default_factory=dict)


def solve(arcs: tuple[Arc, ...], segments: int) -> Solution:
    """The cheapest times of all events, as budgets of the stages."""
    reduced = reduce_arcs(arcs)
    if len(reduced) == 1:
        return _from_single(reduced[0], segments)
    event = _event_to_condition(reduced)
    best = Solution(INFINITE)
    for time in range(segments + 1):
        found = solve(_conditioned(reduced, event, time, segments), segments)
        if found.cost < best.cost:
            best = found
    return best


def conditioned_events(arcs: tuple[Arc, ...]) -> int:
    """How many events ``solve`` must condition on: 0 for every series-parallel graph."""
    reduced = reduce_arcs(arcs)
    if len(reduced) == 1:
        return 0
    event = _event_to_condition(reduced)
    return 1 + conditioned_events(_reattached(reduced, event))


def reduce_arcs(arcs: tuple[Arc, ...]) -> tuple[Arc, ...]:
    """Apply the parallel and series rewrites until neither applies."""
    while True:
        merged = _parallel(arcs)
        shorter = _series(merged)
        if shorter is None:
            return merged
        arcs = shorter


def convolve(first: Curve, second: Curve) -> tuple[Curve, tuple[int, ...]]:
    """Min-plus convolution, and for each total how much of it the first takes.

    Among equally cheap divisions the middle one is taken, so that both parts keep slack.
    """
    steps = _steps(first)
    curve, taken = [], []
    for total in range(len(first)):
        best, low, high = INFINITE, 0, 0
        for start, end, cost in steps:
            if start > total:
                break
            # Within a step of ``first`` the cheapest is to leave ``second`` the most.
            whole = cost + second[total - start]
            if whole < best:
                best, low, high = whole, start, min(end, total)
                while high > low and cost + second[total - high] > whole:
                    high -= 1
        curve.append(best)
        taken.append((low + high) // 2)
    return tuple(curve), tuple(taken)


def _steps(curve: Curve) -> list[tuple[int, int, float]]:
    """The constant runs of a curve where it is finite: first and last index, cost."""
    runs: list[tuple[int, int, float]] = []
    for index, cost in enumerate(curve):
        if cost == INFINITE:
            continue
        if runs and runs[-1][2] == cost and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index, cost)
        else:
            runs.append((index, index, cost))
    return runs


def _parallel(arcs: tuple[Arc, ...]) -> tuple[Arc, ...]:
    between: dict[tuple[Event, Event], list[Arc]] = {}
    for arc in arcs:
        between.setdefault((arc.tail, arc.head), []).append(arc)
    return tuple(
        group[0]
        if len(group) == 1
        else Arc(
            tail,
            head,
            tuple(sum(costs) for costs in zip(*(arc.curve for arc in group), strict=True)),
            inner=tuple(group),
        )
        for (tail, head), group in between.items()
    )


def _series(arcs: tuple[Arc, ...]) -> tuple[Arc, ...] | None:
    for event in sorted(_inner_events(arcs)):
        into = [arc for arc in arcs if arc.head == event]
        out_of = [arc for arc in arcs if arc.tail == event]
        if len(into) == 1 and len(out_of) == 1:
            first, second = into[0], out_of[0]
            curve, _ = convolve(first.curve, second.curve)
            joined = Arc(first.tail, second.head, curve, inner=(first, second), series=True)
            return (*(arc for arc in arcs if arc is not first and arc is not second), joined)
    return None


def _inner_events(arcs: tuple[Arc, ...]) -> set[Event]:
    return {event for arc in arcs for event in (arc.tail, arc.head)} - {SOURCE, SINK}


def _event_to_condition(arcs: tuple[Arc, ...]) -> Event:
    """The busiest inner event: removing it simplifies the rest most."""
    degree: dict[Event, int] = {}
    for arc in arcs:
        for event in (arc.tail, arc.head):
            degree[event] = degree.get(event, 0) + 1
    return max(sorted(_inner_events(arcs)), key=lambda event: degree[event])


def _reattached(arcs: tuple[Arc, ...], event: Event) -> tuple[Arc, ...]:
    """The graph's shape once the event's time is fixed; curves are not yet shifted."""
    return tuple(
        Arc(
            SOURCE if arc.tail == event else arc.tail,
            SINK if arc.head == event else arc.head,
            arc.curve,
        )
        for arc in arcs
    )


def _conditioned(arcs: tuple[Arc, ...], event: Event, time: int, segments: int) -> tuple[Arc, ...]:
    """The graph with the event at ``time``: its arcs now start at source or end at sink."""
    fixed = []
    for arc in arcs:
        if arc.tail == event:
            fixed.append(_shifted(arc, SOURCE, arc.head, time))
        elif arc.head == event:
            fixed.append(_shifted(arc, arc.tail, SINK, segments - time))
        else:
            fixed.append(arc)
    return tuple(fixed)


def _shifted(arc: Arc, tail: Event, head: Event, outside: int) -> Arc:
    curve = (INFINITE,) * outside + arc.curve[: len(arc.curve) - outside]
    return Arc(tail, head, curve, inner=(arc,), outside=outside)


def _from_single(arc: Arc, segments: int) -> Solution:
    assert (arc.tail, arc.head) == (SOURCE, SINK), arc
    solution = Solution(arc.curve[segments])
    if solution.cost < INFINITE:
        _divide(arc, segments, solution.budgets)
    return solution


def _divide(arc: Arc, budget: int, budgets: dict[str, int]) -> None:
    """Hand an arc's interval down to the stages it was made of."""
    if arc.stage:
        budgets[arc.stage] = budget
    elif arc.series:
        first, second = arc.inner
        _, taken = convolve(first.curve, second.curve)
        _divide(first, taken[budget], budgets)
        _divide(second, budget - taken[budget], budgets)
    else:
        for inner in arc.inner:
            _divide(inner, budget - arc.outside, budgets)
