"""From loads to candidates: what each session asks of each device type, and who can be served.

A session that no device type can serve is *infeasible*, with the reason on each type and with what
would make it feasible: a longer SLO, more memory, or a device type that is not there.
"""

from collections.abc import Mapping, Sequence
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
from nexus.scheduler.demand import Demand, infeasible_reason, make_demand
from nexus.scheduler.fleet import Choice
from nexus.scheduler.node import memory_fits
from nexus.scheduler.pool_size import PoolRules, load_of
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
    for load in loads:
        candidate = _candidate(load, rules)
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


def _candidate(load: SessionLoad, rules: CandidateRules) -> Candidate | Infeasible:
    """What each device type can do for the session, alone or in a pool."""
    session, settings = load.session, rules.settings
    rate = max(load.rate, settings.rate_min)
    own, pooled, reasons = [], [], []
    for device in rules.workload.devices:
        demand, reason = _demand(session, rate, device, rules)
        if demand is None:
            continue
        if not reason:
            own.append((device.price / demand.throughput, device.type, demand))
        busy = _busy(demand, device, rules)
        if busy is not None:
            pooled.append((device.price * busy, device.type, demand))
        if reason and busy is None:
            reasons.append((device, demand, reason))
    if not own and not pooled:
        return _infeasible(session, reasons, rules)
    alone = [demand for *_, demand in sorted(own, key=lambda entry: entry[:2])]
    together = [demand for *_, demand in sorted(pooled, key=lambda entry: entry[:2])]
    choices = tuple(demand.at_rate(rate / settings.headroom) for demand in alone)
    return Candidate(tuple(together or alone), Choice(choices) if choices else None)


def _busy(demand: Demand, device: DeviceSpec, rules: CandidateRules) -> float | None:
    """The devices it keeps busy in a pool; None where it cannot be in one."""
    if rules.pools is None or demand.session.replicas_max or not memory_fits((demand,), device):
        return None
    return load_of(demand, rules.pools)


def _demand(
    session: Session, rate: float, device: DeviceSpec, rules: CandidateRules
) -> tuple[Demand | None, str]:
    """The demand on a device type and why it is infeasible there, if so; None: no profile."""
    workload = rules.workload
    demand, reason = None, ""
    for source in (workload.profile, workload.offline):
        profile = source(session.model, device.type) if source is not None else None
        if profile is None:
            continue
        demand = make_demand(
            session,
            rate,
            profile,
            batch_cap=workload.batch_caps.get(session.model, profile.max_batch),
            network_us=rules.settings.network_us,
        )
        reason = infeasible_reason(demand, device)
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
    for name in rules.workload.absent_types:
        device = DeviceSpec(type=name)
        demand, reason = _demand(session, rules.settings.rate_min, device, rules)
        if demand is not None and (not reason or _busy(demand, device, rules) is not None):
            ways.append(f"a device of type {name} would do")
    return ways


def _least_slo_us(demand: Demand, rules: CandidateRules) -> int:
    """The shortest SLO that a batch of one can meet on the demand's device type."""
    latency_us = demand.profile.latency_us(demand.cheapest[1])
    overhead_us = demand.session.slo_us - demand.budget_us
    if rules.pools is None or demand.session.replicas_max:
        return overhead_us + 2 * latency_us
    return overhead_us + min(2 * latency_us, latency_us + rules.pools.ask_us)
