"""Warm spares: what idle backends load ahead, so that growth costs a routing table (ADR 0024).

A backend that the plan does not use is given the models of those that may need it: when the tuner
or the loss of a device then places them there, they are loaded already. What is kept ready are
*parts* of the plan: a pool with all its sessions (a member must host them all), or one local
session. A part counts by the devices it keeps busy, each of which may die and all of which must
grow when its rate does, times how unevenly its items come; and the less the more spares have it
already. Memory is respected, and what a backend has loaded weighs more than what it would have to
load, so that spares are the same from epoch to epoch.

The first part of a spare may be a pool, whose owner may use it at once; local ones are routes that
frontends use when no other is in time; further pools are only loaded.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt

from nexus.core.cluster import BackendStatus
from nexus.core.names import DeviceType, PoolName, SessionName
from nexus.core.plan import BackendPlan, Placement
from nexus.core.units import US_PER_S

SPARE_SESSIONS_MAX = 32
"""On one backend: loading more would take longer than an epoch."""
LOADED_WEIGHT = 1.5
"""What a spare has loaded counts so much more than what it has not."""
_ROUNDING = 1e-9

Dispersion = Callable[[SessionName], float]


@dataclass(frozen=True, slots=True)
class Part:
    """What a spare may take over: a pool (``pool``) or a local session; its placements and need.

    ``load`` is how many devices it keeps busy, ``need`` that times its unevenness.
    """

    device: DeviceType
    pool: PoolName | None
    placements: tuple[Placement, ...]
    duty_cycle_us: int
    load: float
    need: float


def spare_plans(
    target: Sequence[BackendPlan],
    usable: Sequence[BackendStatus],
    dispersion: Dispersion,
    *,
    share: float,
) -> tuple[BackendPlan, ...]:
    """Plans for idle backends: at most ``share`` times as many of a type as are in use."""
    used = {plan.backend for plan in target}
    plans: list[BackendPlan] = []
    for device in sorted({plan.device for plan in target}):
        parts = parts_of([plan for plan in target if plan.device == device], dispersion)
        idle = [s for s in usable if s.device == device and s.backend not in used]
        count = ceil(share * sum(plan.device == device for plan in target) - _ROUNDING)
        # Those with the most loaded stay spares, whoever else is idle.
        idle.sort(key=lambda status: (-len(status.loaded), status.backend))
        copies = [0] * len(parts)
        for status in idle[:count]:
            chosen = _chosen(parts, copies, status)
            for index in chosen:
                copies[index] += 1
            if chosen:
                plans.append(_plan(status, [parts[index] for index in chosen]))
    return tuple(plans)


def parts_of(plans: Iterable[BackendPlan], dispersion: Dispersion) -> list[Part]:
    """The pools and local sessions of plans of one device type."""
    parts: dict[tuple[bool, str], Part] = {}
    for plan in plans:
        pooled = [p for p in plan.placements if p.pool is not None]
        if pooled:
            _add(parts, plan, tuple(pooled), dispersion)
        for placement in plan.placements:
            if placement.pool is None:
                _add(parts, plan, (placement,), dispersion)
    return list(parts.values())


def _add(
    parts: dict[tuple[bool, str], Part],
    plan: BackendPlan,
    placements: tuple[Placement, ...],
    dispersion: Dispersion,
) -> None:
    """One device's share of a part; the part's batches are those of its first device."""
    pool = placements[0].pool
    load = sum(_busy(placement) for placement in placements)
    need = sum(_busy(p) * sqrt(dispersion(p.session)) for p in placements)
    key = (True, pool) if pool is not None else (False, placements[0].session)
    known = parts.get(key)
    if known is None:
        parts[key] = Part(plan.device, pool, placements, plan.duty_cycle_us, load, need)
    else:
        parts[key] = replace(known, load=known.load + load, need=known.need + need)


def _busy(placement: Placement) -> float:
    return placement.rate * placement.latency_us / placement.batch / US_PER_S


def _chosen(parts: Sequence[Part], copies: Sequence[int], status: BackendStatus) -> list[int]:
    """The parts that one spare takes, the most needed first."""
    loaded = set(status.loaded)

    def weight(index: int) -> float:
        part = parts[index]
        here = all(placement.session in loaded for placement in part.placements)
        return part.need / (1 + copies[index]) * (LOADED_WEIGHT if here else 1.0)

    chosen: list[int] = []
    memory: dict[str, int] = {}
    sessions = 0
    for index in sorted(range(len(parts)), key=lambda i: (-weight(i), i)):
        placements = parts[index].placements
        wanted = memory | {p.model: p.memory_bytes for p in placements}
        fits = not status.memory_bytes or sum(wanted.values()) <= status.memory_bytes
        able = not any(placement.session in status.failed for placement in placements)
        if fits and able and sessions + len(placements) <= SPARE_SESSIONS_MAX:
            chosen.append(index)
            memory = wanted
            sessions += len(placements)
    return chosen


def _plan(status: BackendStatus, parts: Sequence[Part]) -> BackendPlan:
    placements = tuple(
        replace(
            placement,
            rate=0.0,
            spare=True,
            pool=placement.pool if part is parts[0] else None,
        )
        for part in parts
        for placement in part.placements
    )
    memory = {placement.model: placement.memory_bytes for placement in placements}
    return BackendPlan(
        backend=status.backend,
        device=status.device,
        duty_cycle_us=parts[0].duty_cycle_us,
        occupancy=0.0,
        placements=placements,
        memory_bytes=sum(memory.values()),
    )
