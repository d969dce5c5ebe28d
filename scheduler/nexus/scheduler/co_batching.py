"""Sessions that are batched together: of one model with different SLOs, or of one prefix group.

A backend keeps one queue by deadline for them (``Placement.group``), so a batch is gathered at
their summed rate. For the plan they are one demand: the tightest SLO rules its batch size, which is
what the others pay. They are put together, from the tightest on, while that occupies no more of a
device than apart. The paper batches equal SLOs only (nexus.md 2.8, weakness 9).
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from nexus.core.names import DeviceType, ModelName
from nexus.core.profile import Profile
from nexus.scheduler.batch_table import batch_table
from nexus.scheduler.candidate import Candidate
from nexus.scheduler.demand import Demand, Part, saturating_batch
from nexus.scheduler.fleet import Choice

Kinds: TypeAlias = tuple[tuple[tuple[ModelName, DeviceType], ...], ...]
"""The models and device types of a candidate's demands, in pools and of its own."""

MEMBERS_MAX = 64
"""Sessions of one group: all of them come along wherever the group goes."""


def co_batched(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates, those of one model joined where that saves device time."""
    alike: dict[Kinds, list[tuple[Candidate, Choice]]] = {}
    joined: list[Candidate] = []
    for candidate in candidates:
        if candidate.own is None:
            joined.append(candidate)
        else:
            kinds = (_kinds(candidate.demands), _kinds(candidate.own.demands))
            alike.setdefault(kinds, []).append((candidate, candidate.own))
    for members in alike.values():
        joined += _joined(members)
    return joined


def together(members: Sequence[Demand], profile: Profile | None = None) -> Demand:
    """One demand for all members, at their summed rate and the tightest of their budgets.

    ``profile`` is that of their batches, where it is not the model's own: of a prefix group.
    """
    lead = min(members, key=lambda member: (member.budget_us, member.name))
    rate = sum(member.rate for member in members)
    limit = min(member.batch_limit for member in members)
    table = batch_table(profile, min(profile.max_batch, limit)) if profile else lead.table
    parts = [
        Part(part.session, part.share * member.rate / rate)
        for member in members
        for part in (member.parts or (Part(member.session, 1.0),))
    ]
    return Demand(
        session=lead.session,
        rate=rate,
        profile=profile or lead.profile,
        budget_us=lead.budget_us,
        table=table,
        batch=saturating_batch(table, lead.budget_us),
        parts=tuple(sorted(parts, key=lambda part: part.session.name)),
    )


def occupied(demand: Demand) -> float:
    """How many devices a demand takes: whole ones, and the share of one that the residue needs."""
    whole = int(demand.rate / demand.throughput)
    left = demand.rate - whole * demand.throughput
    batch, cycle_us = demand.table.alone(left, demand.budget_us) if left > 0 else (0, 1)
    return whole + (demand.profile.latency_us(batch) / cycle_us if batch else 0.0)


def _joined(alike: Iterable[tuple[Candidate, Choice]]) -> list[Candidate]:
    """Groups of candidates that are all of one model, from the tightest SLO on."""
    ordered = sorted(alike, key=lambda entry: (entry[1].demands[0].budget_us, entry[0].name))
    groups: list[list[Candidate]] = []
    group = Choice(())
    for candidate, own in ordered:
        if groups and (joined := _worth_joining(group, own)) is not None:
            groups[-1].append(candidate)
            group = joined
        else:
            groups.append([candidate])
            group = own
    return [members[0] if len(members) == 1 else _as_one(members) for members in groups]


def _worth_joining(group: Choice, newcomer: Choice) -> Choice | None:
    """The group with one more, if that occupies no more than the two apart."""
    demands = tuple(map(_pair, group.demands, newcomer.demands))
    if len(demands[0].parts) > MEMBERS_MAX:
        return None
    apart = occupied(group.demands[0]) + occupied(newcomer.demands[0])
    return Choice(demands) if occupied(demands[0]) <= apart else None


def _as_one(members: Sequence[Candidate]) -> Candidate:
    own = [member.own.demands for member in members if member.own is not None]
    return Candidate(
        tuple(together(alike) for alike in zip(*(m.demands for m in members), strict=True)),
        Choice(tuple(together(alike) for alike in zip(*own, strict=True))),
    )


def _pair(one: Demand, other: Demand) -> Demand:
    return together((one, other))


def _kinds(demands: Sequence[Demand]) -> tuple[tuple[ModelName, DeviceType], ...]:
    return tuple((demand.profile.model, demand.profile.device) for demand in demands)
