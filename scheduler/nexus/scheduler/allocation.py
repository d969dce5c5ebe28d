"""Devices for everyone: pools first, devices of their own for what does not pool well.

A *candidate* is a session, or several that share batches (candidate.py). ``allocate`` plans afresh;
``keep`` goes on from the pools and devices of the previous plan, so that little moves. Too few
devices are shared as in fleet.py: all rates are scaled alike until everything fits.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from nexus.core.device import DeviceSpec
from nexus.core.names import DeviceType, PoolName, SessionName
from nexus.core.plan import BackendPlan
from nexus.scheduler.backend_plans import folded
from nexus.scheduler.candidate import Candidate
from nexus.scheduler.demand import Demand
from nexus.scheduler.fleet import (
    FACTOR_MIN,
    SQUEEZE_STEPS,
    Choice,
    covered_sessions,
    pack_fleet,
    squeeze,
)
from nexus.scheduler.packing import Node, memory_fits
from nexus.scheduler.pool_size import PoolFit, PoolRules, fit_on, smallest_fit
from nexus.scheduler.pooling import (
    DEVICES_LIMIT,
    PlannedPool,
    adopted,
    form_pools,
    is_worth_it,
    named,
)
from nexus.scheduler.retention import retained_fleet
from nexus.scheduler.scaling_search import largest_scale
from nexus.scheduler.settings import POOL_DEVICES_MIN

SHRINK_MARGIN = 1.08
"""A pool gives up a device only if it would do without it at rates this much higher, too."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How to allocate; ``pools`` None: everyone has devices of their own."""

    headroom: float
    search: bool
    pools: PoolRules | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """The pools, the devices outside them, and how many devices more the rest would take.

    ``why`` says what spoke for it and against the alternative, if there was one (hysteresis.py).
    """

    pools: tuple[PlannedPool, ...]
    own: tuple[Node, ...]
    missing: Mapping[DeviceType, int]
    why: str = ""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All devices, those of pools first."""
        return (*(node for pool in self.pools for node in pool.nodes()), *self.own)

    @property
    def complete(self) -> bool:
        """Whether everything fits the devices at hand."""
        return not self.missing


Previous = Sequence[BackendPlan]
Pooled = dict[PoolName, tuple[list[BackendPlan], frozenset[SessionName]]]
"""The backends of each pool of a plan, and their sessions."""


def allocate(
    candidates: Sequence[Candidate],
    devices: Sequence[DeviceSpec],
    rules: Rules,
    previous: Previous = (),
) -> Allocation:
    """Plan afresh; ``previous`` only lends its pools' names."""
    pools, rest, missing = _fresh_pools(candidates, devices, rules)
    fleet = pack_fleet(_choices(rest), _left(devices, pools), search=rules.search)
    return Allocation(
        pools=named(
            pools, [(name, members) for name, (_, members) in _pooled(previous, {}).items()]
        ),
        own=fleet.nodes,
        missing=_summed(missing, fleet.missing),
    )


def keep(
    candidates: Sequence[Candidate],
    devices: Sequence[DeviceSpec],
    rules: Rules,
    previous: Previous,
) -> Allocation:
    """Go on from the previous plan; its backends must still be there."""
    leads = {part.session.name: c.name for c in candidates for part in c.demands[0].parts}
    before = _pooled(previous, leads)
    local = folded([plan for plan in previous if not _is_pooled(plan)], leads)
    settled = {placement.session for plan in local for placement in plan.placements}
    kept, rest = _kept_pools(candidates, devices, rules, before, settled)
    coming = [candidate for candidate in rest if candidate.name not in settled]
    staying = [candidate for candidate in rest if candidate.name in settled]
    left = _left(devices, [(pool.device, pool.fit) for pool in kept])
    reserved = _reserved(left, local)
    formed, others, missing = _fresh_pools(coming, reserved, rules)
    names = [(name, members) for name, (_, members) in before.items()]
    pools = named([*((pool.device, pool.fit) for pool in kept), *formed], names)
    fleet = retained_fleet(
        local, _choices([*staying, *others]), _left(left, formed), search=rules.search
    )
    allocation = Allocation(pools=pools, own=fleet.nodes, missing=_summed(missing, fleet.missing))
    # What had to grow, or merely stays, may take more devices together than are left.
    excess = _excess(allocation.nodes, devices)
    return replace(allocation, missing=_summed(allocation.missing, excess))


def squeezed(
    candidates: Sequence[Candidate],
    devices: Sequence[DeviceSpec],
    rules: Rules,
    previous: Previous = (),
) -> Allocation:
    """The best that too few devices can do: all rates scaled alike, then raised where they can."""
    trickle = _at(FACTOR_MIN, candidates, devices, rules, previous)
    if not trickle.complete:
        placed = covered_sessions(trickle.nodes)
        candidates = [candidate for candidate in candidates if candidate.name in placed]
        trickle = _at(FACTOR_MIN, candidates, devices, rules, previous)
    whole = allocate(candidates, devices, rules, previous)
    if whole.complete:
        return whole
    factor, best = FACTOR_MIN, trickle
    if trickle.complete:
        factor, best = largest_scale(
            lambda scale: _if_complete(_at(scale, candidates, devices, rules, previous)),
            FACTOR_MIN,
            1.0,
            trickle,
            steps=SQUEEZE_STEPS,
        )
    if not best.complete or not best.pools:
        fleet = squeeze(_choices(candidates), devices, search=rules.search)
        return Allocation(pools=(), own=fleet.nodes, missing={})
    assert rules.pools is not None
    pools = _raised(best.pools, devices, best.own, 1 / factor, rules.pools)
    pooled = {name for pool in pools for name in pool.sessions}
    rest = [candidate for candidate in candidates if candidate.name not in pooled]
    left = _left(devices, [(pool.device, pool.fit) for pool in pools])
    own = squeeze(_choices(rest), left, search=rules.search).nodes if rest else ()
    return Allocation(pools=pools, own=own, missing={})


def _at(
    factor: float,
    candidates: Sequence[Candidate],
    devices: Sequence[DeviceSpec],
    rules: Rules,
    previous: Previous,
) -> Allocation:
    return allocate([c.scaled(factor) for c in candidates], devices, rules, previous)


def _if_complete(allocation: Allocation) -> Allocation | None:
    return allocation if allocation.complete else None


def _fresh_pools(
    candidates: Sequence[Candidate], devices: Sequence[DeviceSpec], rules: Rules
) -> tuple[list[tuple[DeviceSpec, PoolFit]], list[Candidate], dict[DeviceType, int]]:
    """Pools on each session's cheapest type with devices left, the rest, and what is missing.

    What finds no device of a type, in a pool or of its own, is pooled on its next. Missing are
    pools of sessions that can only be served in one.
    """
    pools: list[tuple[DeviceSpec, PoolFit]] = []
    missing: dict[DeviceType, int] = {}
    if rules.pools is None:
        return pools, list(candidates), missing
    waiting, rest = list(candidates), []
    for depth in range(len(devices)):
        spilled: set[SessionName] = set()
        for device in _left(devices, pools):
            mine = [c for c in waiting if len(c.demands) > depth and _is_at(c, depth, device)]
            left = device.count
            for fit in _worthwhile([c.demands[depth] for c in mine], device, rules, rules.pools):
                if left is None or fit.size <= left:
                    pools.append((device, fit))
                    left = None if left is None else left - fit.size
                else:
                    spilled |= {demand.name for demand in fit.demands}
                    if any(not demand.batch for demand in fit.demands):
                        missing[device.type] = missing.get(device.type, 0) + fit.size
            if left == 0:  # Devices of their own are not to be had here either.
                taken = {demand.name for _, fit in pools for demand in fit.demands}
                spilled |= {c.name for c in mine} - taken
        pooled = {demand.name for _, fit in pools for demand in fit.demands}
        rest += [c for c in waiting if c.name not in pooled and c.name not in spilled]
        waiting = [c for c in waiting if c.name in spilled]
        if not waiting:
            break
    return pools, [*rest, *waiting], missing


def _worthwhile(
    demands: Sequence[Demand], device: DeviceSpec, rules: Rules, pooling: PoolRules
) -> list[PoolFit]:
    """The pools that save devices, and those of sessions that nothing but a pool can serve."""
    formed = form_pools([demand for demand in demands if demand.batch], device, pooling)
    worth = [
        fit
        for fit in formed
        if is_worth_it(fit, device, rules.headroom, pooling, search=rules.search)
    ]
    tight = [demand for demand in demands if not demand.batch]
    if tight and pooling.settings.shared:
        worth, tight = adopted(worth, tight, device, pooling)
    worth += form_pools(tight, device, pooling)
    return sorted(worth, key=lambda fit: -fit.load)


def _is_at(candidate: Candidate, depth: int, device: DeviceSpec) -> bool:
    return candidate.demands[depth].profile.device == device.type


def _kept_pools(
    candidates: Sequence[Candidate],
    devices: Sequence[DeviceSpec],
    rules: Rules,
    before: Pooled,
    settled: AbstractSet[SessionName],
) -> tuple[list[PlannedPool], list[Candidate]]:
    """The previous pools at the new rates, and the candidates that are in none of them.

    Those that are not ``settled`` elsewhere take the spare time of pools first.
    """
    rest = {candidate.name: candidate for candidate in candidates}
    if rules.pools is None:
        return [], list(candidates)
    types = {device.type: device for device in devices}
    kept: list[PlannedPool] = []
    for name, (plans, members) in sorted(before.items()):
        device = types.get(plans[0].device)
        if device is None:
            continue
        demands = [
            demand
            for session in sorted(members)
            if session in rest and (demand := rest[session].on(device.type)) is not None
        ]
        fit = _refitted(demands, len(plans), device, rules.pools)
        if fit is not None:
            kept.append(PlannedPool(name=name, device=device, fit=fit))
            for demand in demands:
                del rest[demand.name]
    newcomers = {name: candidate for name, candidate in rest.items() if name not in settled}
    pools, left = _with_newcomers(kept, newcomers, rules.pools)
    return pools, [*(rest[name] for name in rest if name in settled), *left]


def _refitted(
    demands: Sequence[Demand], size: int, device: DeviceSpec, rules: PoolRules
) -> PoolFit | None:
    """The pool at its new rates: it grows at once, and shrinks only when that will last."""
    if not demands or not memory_fits(demands, device):
        return None
    fewer = _fit_within(demands, size - 1, rules)
    if fewer is None:
        fit = _fit_within(demands, size, rules)
        return fit or smallest_fit(demands, rules, DEVICES_LIMIT, size + 1)
    raised = [demand.at_rate(demand.rate * SHRINK_MARGIN) for demand in demands]
    if _fit_within(raised, size - 1, rules) is None:
        return fit_on(demands, size, rules)
    cautious = smallest_fit(raised, rules, size - 1)
    return fit_on(demands, cautious.size, rules) if cautious is not None else fewer


def _fit_within(demands: Sequence[Demand], size: int, rules: PoolRules) -> PoolFit | None:
    """The demands on ``size`` devices, if that covers their rates."""
    fit = fit_on(demands, size, rules) if size >= POOL_DEVICES_MIN else None
    return fit if fit is not None and fit.needed <= size else None


def _with_newcomers(
    kept: Sequence[PlannedPool], rest: dict[SessionName, Candidate], rules: PoolRules
) -> tuple[list[PlannedPool], list[Candidate]]:
    """Let candidates that are in no pool take the spare time of one."""
    if not rules.settings.shared:
        return list(kept), list(rest.values())
    pools: list[PlannedPool] = []
    for device in {pool.device.type: pool.device for pool in kept}.values():
        mine = [pool for pool in kept if pool.device == device]
        demands = [d for c in rest.values() if (d := c.on(device.type)) is not None]
        fits, left = adopted([pool.fit for pool in mine], demands, device, rules)
        waiting = {demand.name for demand in left}
        for demand in demands:
            if demand.name not in waiting:
                del rest[demand.name]
        pools += (replace(pool, fit=fit) for pool, fit in zip(mine, fits, strict=True))
    return pools, list(rest.values())


def _raised(
    pools: Sequence[PlannedPool],
    devices: Sequence[DeviceSpec],
    own: Sequence[Node],
    factor_max: float,
    rules: PoolRules,
) -> tuple[PlannedPool, ...]:
    """Pools that take the devices left over and as much of the rates as they then can."""
    grown = list(pools)
    for device in _left(devices, [(pool.device, pool.fit) for pool in pools]):
        spare = (device.count or 0) - sum(node.device.type == device.type for node in own)
        mine = [i for i, pool in enumerate(grown) if pool.device.type == device.type]
        for _ in range(spare if mine else 0):
            index = max(mine, key=lambda i: grown[i].fit.load)
            size = grown[index].fit.size + 1
            fit = fit_on(grown[index].fit.demands, size, rules)
            assert fit is not None, "what fits on N devices fits on N + 1"
            grown[index] = replace(grown[index], fit=fit)
    return tuple(replace(pool, fit=_filled(pool.fit, factor_max, rules)) for pool in grown)


def _filled(fit: PoolFit, factor_max: float, rules: PoolRules) -> PoolFit:
    """The pool with all its rates raised alike as far as its devices go."""

    def at(factor: float) -> PoolFit | None:
        return _fit_within([d.at_rate(d.rate * factor) for d in fit.demands], fit.size, rules)

    whole = at(factor_max)
    if whole is not None:
        return whole
    return largest_scale(at, 1.0, factor_max, fit, steps=SQUEEZE_STEPS)[1]


def _pooled(previous: Previous, leads: Mapping[SessionName, SessionName]) -> Pooled:
    """The members and sessions of every pool of a plan; spares do not count.

    Sessions that ``leads`` names are counted as their leads.
    """
    plans: dict[PoolName, list[BackendPlan]] = {}
    sessions: dict[PoolName, set[SessionName]] = {}
    known: dict[int, set[PoolName]] = {}
    for plan in previous:
        # The members of a pool share one tuple of placements.
        key = id(plan.placements)
        if key not in known:
            names = {p.pool for p in plan.placements if p.pool is not None and not p.spare}
            known[key] = names
            for name in names:
                sessions.setdefault(name, set()).update(
                    [leads.get(p.session, p.session) for p in plan.placements]
                )
        for name in known[key]:
            plans.setdefault(name, []).append(plan)
    return {name: (plans[name], frozenset(sessions[name])) for name in plans}


def _is_pooled(plan: BackendPlan) -> bool:
    return any(placement.pool is not None for placement in plan.placements)


def _choices(candidates: Iterable[Candidate]) -> list[Choice]:
    return [candidate.own for candidate in candidates if candidate.own is not None]


def _left(
    devices: Sequence[DeviceSpec], pools: Iterable[tuple[DeviceSpec, PoolFit]]
) -> tuple[DeviceSpec, ...]:
    """The devices that the pools leave."""
    taken: dict[DeviceType, int] = {}
    for device, fit in pools:
        taken[device.type] = taken.get(device.type, 0) + fit.size
    return tuple(
        device
        if device.count is None
        else replace(device, count=max(0, device.count - taken.get(device.type, 0)))
        for device in devices
    )


def _reserved(
    devices: Sequence[DeviceSpec], local: Sequence[BackendPlan]
) -> tuple[DeviceSpec, ...]:
    """The devices that the previous local plans leave."""
    return tuple(
        device
        if device.count is None
        else replace(
            device,
            count=max(0, device.count - sum(plan.device == device.type for plan in local)),
        )
        for device in devices
    )


def _summed(
    one: Mapping[DeviceType, int], other: Mapping[DeviceType, int]
) -> dict[DeviceType, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _excess(nodes: Iterable[Node], devices: Sequence[DeviceSpec]) -> dict[DeviceType, int]:
    """By how many devices the nodes exceed those there are."""
    asked = Counter(node.device.type for node in nodes)
    for device in devices:
        asked[device.type] -= asked[device.type] if device.count is None else device.count
    return {name: count for name, count in asked.items() if count > 0}
