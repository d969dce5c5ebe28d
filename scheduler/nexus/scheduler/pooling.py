"""Which sessions share a pool, and when a pool is better than devices of their own (ADR 0023).

Sessions go together whose SLOs and batch latencies are of similar size, because a running batch
blocks a tight one. They are walked in that order and cut into groups of up to ``devices_max``
devices where the fewest are wasted on rounding; a session that alone fills much of that gets a pool
to itself, and small ones move into the room it leaves. A pool stays only where the same sessions
would need as many devices of their own: at equal cost it serves bursts that they drop.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nexus.core.device import DeviceSpec
from nexus.core.names import PoolName, SessionName
from nexus.scheduler.demand import Demand
from nexus.scheduler.packing import Node, memory_fits, pack_device
from nexus.scheduler.pool_size import (
    PoolFit,
    PoolRules,
    fit_on,
    load_of,
    own_headroom,
    smallest_fit,
)
from nexus.scheduler.settings import POOL_DEVICES_MIN

DEVICES_LIMIT = 4096
"""The largest pool there can be: one owner must see every request of it."""
ALONE_FROM = (0.5, 0.25, 0.125)
"""Shares of ``devices_max`` from which sessions are given pools to themselves; the best is taken.

Batches of one session stagger by themselves and wait less, but a whole device is rounded up to."""
SWEEP_MAX = 200
"""With more sessions than this only the first share is tried."""
CUTS: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
"""A group may end where its load reaches these shares of ``devices_max``."""
WHOLE = CUTS[-1:]
"""As few groups as there can be."""
ADOPTIONS_TRIED = 4
"""Pools that are asked for room by a session that is left over."""
ADOPTED_SHARE = 0.5
"""A session that needs more of a device than this does not look for room in other pools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPool:
    """A named pool: its devices, and the fit of its sessions on them."""

    name: PoolName
    device: DeviceSpec
    fit: PoolFit
    member: Node = field(init=False, compare=False, repr=False)
    """What each of its devices does: its share of every session."""

    def __post_init__(self) -> None:
        """Work the member out once: everything that counts devices or load asks for it."""
        fit = self.fit
        latencies_us = map(_latency_us, fit.demands, fit.batches)
        occupancy = min(1.0, fit.busy / fit.size)
        member = Node(
            device=self.device,
            demands=tuple([demand.at_rate(demand.rate / fit.size) for demand in fit.demands]),
            batches=fit.batches,
            duty_cycle_us=max(1, round(sum(latencies_us) / occupancy)),
            occupancy_min=occupancy,
            pool=self.name,
            slack_us=fit.slack_us,
        )
        object.__setattr__(self, "member", member)

    @property
    def sessions(self) -> tuple[SessionName, ...]:
        """The names of its sessions."""
        return tuple(
            part.session.name if part is not None else demand.name
            for demand in self.fit.demands
            for part in demand.parts or (None,)
        )

    def nodes(self) -> tuple[Node, ...]:
        """One node for every member, all alike."""
        return (self.member,) * self.fit.size


def form_pools(demands: Sequence[Demand], device: DeviceSpec, rules: PoolRules) -> list[PoolFit]:
    """Groups of the demands, which are at the rates expected, without headroom.

    Those in no group are too large for the device, or their SLOs too tight for any pool.
    """
    loads = {
        demand.name: load
        for demand in demands
        if memory_fits((demand,), device) and (load := load_of(demand, rules)) is not None
    }
    candidates = sorted(
        (demand for demand in demands if demand.name in loads),
        key=lambda demand: (demand.budget_us, demand.name),
    )
    if not rules.settings.shared:
        return _apart(candidates, loads, rules)
    few = len(candidates) <= SWEEP_MAX
    ways = [(share, CUTS) for share in (ALONE_FROM if few else ALONE_FROM[:1])]
    ways += [(ALONE_FROM[0], WHOLE)] if few else []
    attempts = [
        _formed(candidates, loads, device, rules, alone_share=share, cuts=cuts)
        for share, cuts in ways
    ]
    # At equal cost fewer pools: what one does not use the others cannot.
    return min(attempts, key=lambda pools: (sum(pool.size for pool in pools), len(pools)))


def _formed(
    candidates: Sequence[Demand],
    loads: Mapping[SessionName, float],
    device: DeviceSpec,
    rules: PoolRules,
    *,
    alone_share: float,
    cuts: Sequence[float],
) -> list[PoolFit]:
    """Large sessions apart, the others in their room or in groups.

    Large is what needs ``alone_share`` of ``devices_max``; groups may end at ``cuts`` of it.
    """
    alone_from = alone_share * rules.settings.devices_max
    pools = _apart([d for d in candidates if loads[d.name] >= alone_from], loads, rules)
    small = [demand for demand in candidates if loads[demand.name] < alone_from]
    pools, small = adopted(pools, small, device, rules)
    return pools + _grouped(small, loads, device, rules, cuts)


def _apart(
    demands: Sequence[Demand], loads: Mapping[SessionName, float], rules: PoolRules
) -> list[PoolFit]:
    fits = (
        smallest_fit((demand,), rules, DEVICES_LIMIT, _least(loads[demand.name]))
        for demand in demands
    )
    return [fit for fit in fits if fit is not None]


def _least(load: float) -> int:
    """Fewer devices than that cannot carry the load."""
    return max(POOL_DEVICES_MIN, math.ceil(load))


def adopted(
    pools: Sequence[PoolFit], demands: Iterable[Demand], device: DeviceSpec, rules: PoolRules
) -> tuple[list[PoolFit], list[Demand]]:
    """The pools with whatever fits into their spare time, and the demands that do not."""
    grown, left = list(pools), []
    for demand in demands:
        index = _roomy(grown, demand, device, rules)
        if index is None:
            left.append(demand)
        else:
            grown[index[0]] = index[1]
    return grown, left


def is_worth_it(
    fit: PoolFit, device: DeviceSpec, headroom: float, rules: PoolRules, *, search: bool
) -> bool:
    """Whether the sessions of the pool would need as many devices of their own, or more.

    More it must be where all come evenly: there are no bursts for a pool to serve (ADR 0030). Whole
    devices at the paper's batch sizes are the least that takes; only where that does not decide are
    they packed. All of them must be able to do with devices of their own.
    """
    least = fit.size + all(demand.is_even for demand in fit.demands)
    own = _with_headroom(fit.demands, headroom, rules)
    if sum(demand.rate / demand.throughput for demand in own) > least - 1:
        return True
    return own_devices(fit.demands, device, headroom, rules, search=search) >= least


def own_devices(
    demands: Iterable[Demand],
    device: DeviceSpec,
    headroom: float,
    rules: PoolRules,
    *,
    search: bool,
) -> int:
    """How many devices the demands would need without a pool."""
    own = _with_headroom(demands, headroom, rules)
    return len(pack_device(own, replace(device, count=None), search=search))


def _with_headroom(demands: Iterable[Demand], headroom: float, rules: PoolRules) -> list[Demand]:
    """The demands at what devices of their own are planned for."""
    return [d.at_rate(d.rate / own_headroom(d, headroom, rules)) for d in demands]


def named(
    pools: Sequence[tuple[DeviceSpec, PoolFit]], previous: Sequence[tuple[PoolName, frozenset[str]]]
) -> tuple[PlannedPool, ...]:
    """Give every pool the name of the previous one it shares most sessions with.

    A new one is called after its first session: a session is in one pool only.
    """
    sessions = [frozenset(demand.name for demand in fit.demands) for _, fit in pools]
    shared = sorted(
        (
            (-len(sessions[index] & before), name, index)
            for name, before in previous
            for index in range(len(pools))
            if sessions[index] & before
        ),
    )
    names: dict[int, PoolName] = {}
    for _, name, index in shared:
        if index not in names and name not in names.values():
            names[index] = name
    taken = set(names.values())
    for index, mine in enumerate(sessions):
        if index not in names:
            names[index] = min((name for name in mine if name not in taken), default=min(mine))
            taken.add(names[index])
    return tuple(
        PlannedPool(name=names[index], device=device, fit=fit)
        for index, (device, fit) in enumerate(pools)
    )


def _latency_us(demand: Demand, batch: int) -> int:
    return demand.profile.latencies_us[batch - 1]


def _grouped(
    demands: Sequence[Demand],
    loads: Mapping[SessionName, float],
    device: DeviceSpec,
    rules: PoolRules,
    cuts: Sequence[float],
) -> list[PoolFit]:
    """Cut the demands, in their order, into groups that waste little."""
    pools: list[PoolFit] = []
    start = 0
    while start < len(demands):
        best: tuple[float, int, PoolFit] | None = None
        for end in _ends(demands, start, loads, device, rules, cuts=cuts):
            load = sum(loads[demand.name] for demand in demands[start:end])
            fit = smallest_fit(demands[start:end], rules, 2 * _least(load), _least(load))
            if fit is None:
                break
            waste = fit.size / load
            if best is None or waste <= best[0]:
                best = (waste, end, fit)
        if best is None:
            start += 1
        else:
            pools.append(best[2])
            start = best[1]
    return pools


def _ends(
    demands: Sequence[Demand],
    start: int,
    loads: Mapping[SessionName, float],
    device: DeviceSpec,
    rules: PoolRules,
    *,
    cuts: Sequence[float],
) -> list[int]:
    """Where a group that begins at ``start`` may end."""
    settings = rules.settings
    levels = [share * settings.devices_max for share in cuts]
    memory: dict[str, int] = {}
    load, ends = 0.0, []
    end = start
    while end < len(demands) and end - start < settings.sessions_max and load < levels[-1]:
        profile = demands[end].profile
        memory[profile.model] = profile.memory_bytes
        if device.memory_bytes and sum(memory.values()) > device.memory_bytes:
            break
        before, load = load, load + loads[demands[end].name]
        end += 1
        if any(before < level <= load for level in levels):
            ends.append(end)
    if end > start and (not ends or ends[-1] != end):
        ends.append(end)
    return ends


def _roomy(
    pools: Sequence[PoolFit], demand: Demand, device: DeviceSpec, rules: PoolRules
) -> tuple[int, PoolFit] | None:
    """The pool of nearest SLO that takes the demand without another device, and how."""
    own = load_of(demand, rules)
    if own is None or own > ADOPTED_SHARE:
        return None
    nearest = sorted(
        (
            abs(pool.demands[0].budget_us - demand.budget_us),
            index,
        )
        for index, pool in enumerate(pools)
        if pool.size - pool.needed >= own and len(pool.demands) < rules.settings.sessions_max
    )
    for _, index in nearest[:ADOPTIONS_TRIED]:
        members = (*pools[index].demands, demand)
        if not memory_fits(members, device):
            continue
        fit = fit_on(members, pools[index].size, rules)
        if fit is not None and fit.needed <= fit.size:
            return index, fit
    return None
