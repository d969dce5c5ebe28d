"""From loads to candidates: what each session asks of each device type, and who can be served.

A session that no device type can serve is *infeasible*, with the reason on each type and with what
would make it feasible: a longer SLO, more memory, or a device type that is not there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from nexus.core.device import DeviceSpec
from nexus.core.names import ModelName, SessionName
from nexus.core.plan import Infeasible
from nexus.core.profile import Profile
from nexus.core.session import Session, SessionLoad
from nexus.core.units import ms_from_us
from nexus.scheduler.candidate import Candidate
from nexus.scheduler.co_batching import co_batched
from nexus.scheduler.demand import Demand
from nexus.scheduler.fleet import Choice
from nexus.scheduler.node import memory_fits
from nexus.scheduler.offer import Offer, Offers
from nexus.scheduler.pool_size import PoolRules, can_pool, load_of, own_headroom
from nexus.scheduler.settings import PlannerSettings
from nexus.scheduler.workload import Workload


@dataclass(frozen=True, slots=True)
class CandidateRules:
    """What decides who can be served how; ``pools`` None: only devices of one's own."""

    workload: Workload
    settings: PlannerSettings
    pools: PoolRules | None


def candidates_of(
    loads: Sequence[SessionLoad], rules: CandidateRules
) -> tuple[list[Candidate], list[Infeasible]]:
    """All sessions that can be served, and those that cannot."""
    candidates: list[Candidate] = []
    infeasible: list[Infeasible] = []
    offers = Offers(rules.workload, rules.settings.network_us)
    for load in loads:
        candidate = _candidate(load, offers, rules)
        if isinstance(candidate, Infeasible):
            infeasible.append(candidate)
        else:
            candidates.append(candidate)
    return candidates, infeasible


def batched_together(
    candidates: Sequence[Candidate],
    rules: CandidateRules,
    before: Mapping[SessionName, SessionName],
) -> list[Candidate]:
    """The candidates, those as one that are better batched together; ``before``: as they are."""
    settings = rules.settings
    if not settings.co_batching and not settings.prefix_groups:
        return list(candidates)
    return co_batched(
        candidates, before, partial(_prefix_profile, rules=rules), alike=settings.co_batching
    )


def no_profile_reason(model: ModelName, devices: Sequence[DeviceSpec]) -> str:
    """What to do about a model that was never measured on any device there is."""
    if not devices:
        return "there are no devices"
    names = ", ".join(device.type for device in devices)
    return f"no profile for model {model} on device {names}: run `nexus profile {model}`"


def _candidate(load: SessionLoad, offers: Offers, rules: CandidateRules) -> Candidate | Infeasible:
    """What each device type can do for the session, alone or in a pool."""
    session, settings = load.session, rules.settings
    rate = max(load.rate, settings.rate_min)
    own: list[tuple[DeviceSpec, Demand]] = []
    pooled: list[tuple[DeviceSpec, Demand]] = []
    reasons = []
    for on_device in offers.of(session.model):
        device = on_device[0].device
        demand, reason = _demand(session, rate, on_device)
        poolable = _can_pool(demand, device, rules)
        if not reason:
            own.append((device, demand))
        if poolable:
            pooled.append((device, demand))
        elif reason:
            reasons.append((device, demand, reason))
    if not own and not pooled:
        return _infeasible(session, reasons, rules)
    alone = _cheapest_first(own, _whole, rules)
    together = _cheapest_first(pooled, _busy, rules)
    headroom = settings.headroom
    choices = alone if headroom == 1 else tuple([d.at_rate(_own_rate(d, rules)) for d in alone])
    return Candidate(together or alone, Choice(choices) if choices else None)


def _own_rate(demand: Demand, rules: CandidateRules) -> float:
    """What devices of its own are planned for."""
    return demand.rate / own_headroom(demand, rules.settings.headroom, rules.pools)


def _cheapest_first(
    demands: Sequence[tuple[DeviceSpec, Demand]],
    devices: Callable[[Demand, CandidateRules], float],
    rules: CandidateRules,
) -> tuple[Demand, ...]:
    """The demands by the price of the ``devices`` each needs."""
    if len(demands) == 1:
        return (demands[0][1],)
    ranked = sorted(
        demands, key=lambda entry: (entry[0].price * devices(entry[1], rules), entry[0].type)
    )
    return tuple([demand for _, demand in ranked])


def _can_pool(demand: Demand, device: DeviceSpec, rules: CandidateRules) -> bool:
    """Whether it can be in a pool."""
    return (
        rules.pools is not None
        and can_pool(demand, rules.pools)
        and (not device.memory_bytes or demand.profile.memory_bytes <= device.memory_bytes)
    )


def _whole(demand: Demand, _: CandidateRules) -> float:
    """The devices of its own that an item a second would take."""
    return 1 / demand.throughput


def _busy(demand: Demand, rules: CandidateRules) -> float:
    """The devices that a demand which can be in a pool keeps busy there."""
    assert rules.pools is not None, "there are no pools"
    load = load_of(demand, rules.pools)
    assert load is not None, f"{demand.name} can be in no pool"
    return load


def _demand(session: Session, rate: float, offers: Sequence[Offer]) -> tuple[Demand, str]:
    """The demand on the first offer that can serve it, else on the last, and why that cannot."""
    for offer in offers:
        demand = offer.demand(session, rate)
        reason = offer.reason(demand)
        if not reason:
            break
    return demand, reason


def _prefix_profile(demand: Demand, rules: CandidateRules) -> Profile | None:
    """The profile of the prefix group that the demand's model belongs to, if there is one."""
    group = rules.workload.prefix_groups.get(demand.session.model)
    if group is None or not rules.settings.prefix_groups:
        return None
    return rules.workload.profile(group, demand.profile.device)


def _infeasible(
    session: Session, reasons: Sequence[tuple[DeviceSpec, Demand, str]], rules: CandidateRules
) -> Infeasible:
    if not reasons:
        return Infeasible(session.name, no_profile_reason(session.model, rules.workload.devices))
    texts = [
        f"on {device.type}: {text}" if len(reasons) > 1 else text for device, _, text in reasons
    ]
    return Infeasible(
        session.name, "; ".join(texts), hint="; ".join(_ways_out(session, reasons, rules))
    )


def _ways_out(
    session: Session, reasons: Sequence[tuple[DeviceSpec, Demand, str]], rules: CandidateRules
) -> list[str]:
    """What would make the session feasible."""
    ways = [
        f"an SLO of {ms_from_us(least_us):g} ms would do"
        for least_us in sorted(
            _least_slo_us(demand, rules)
            for device, demand, _ in reasons
            if memory_fits((demand,), device)
        )[:1]
    ]
    offers = Offers(rules.workload, rules.settings.network_us)
    for name in rules.workload.absent_types:
        device = DeviceSpec(type=name)
        on_device = offers.on(device, session.model)
        if not on_device:
            continue
        demand, reason = _demand(session, rules.settings.rate_min, on_device)
        if not reason or _can_pool(demand, device, rules):
            ways.append(f"a device of type {name} would do")
    return ways


def _least_slo_us(demand: Demand, rules: CandidateRules) -> int:
    """The shortest SLO that a batch of one can meet on the demand's device type."""
    latency_us = demand.profile.latency_us(demand.cheapest[1])
    overhead_us = demand.session.slo_us - demand.budget_us
    if rules.pools is None or demand.session.replicas_max:
        return overhead_us + 2 * latency_us
    return overhead_us + min(2 * latency_us, latency_us + rules.pools.ask_us)
