"""Sessions that are batched together: of one model with different SLOs, or of one prefix group.

A backend keeps one queue by deadline for them (``Placement.group``), so a batch is gathered at
their summed rate. For the plan they are one demand: the tightest SLO rules its batch size, which is
what the others pay. They are put together, from the tightest on, while that occupies no more of a
device than apart, or in the end all at once. The paper batches equal SLOs only (nexus.md 2.8,
weakness 9).

Groups of the plan in force stay together while it is gone on from: who changes groups changes
devices.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.names import DeviceType, ModelName, SessionName
from nexus.core.plan import BackendPlan
from nexus.core.profile import Profile
from nexus.scheduler.batch_table import batch_table
from nexus.scheduler.candidate import Candidate
from nexus.scheduler.demand import Demand, Part, saturating_batch
from nexus.scheduler.fleet import Choice

Kinds: TypeAlias = tuple[tuple[tuple[ModelName, DeviceType], ...], ...]
"""The models and device types of a candidate's demands, in pools and of its own."""

_Types: TypeAlias = tuple[ModelName | int | DeviceType, ...]
"""What tells the kinds of candidates apart, but for which models share a profile."""

SharedProfile: TypeAlias = Callable[[Demand], Profile | None]
"""The profile of the batches that a demand shares with other models; None: with none."""

MEMBERS_MAX = 64
"""Sessions of one group: all of them come along wherever the group goes."""

RESIDUE_LOSS = 0.1
"""Devices that a group of its own wastes: its residue shares one with others, and its bursts do not
even out among them."""


def of_no_prefix(_: Demand) -> None:
    """No model shares its batches with another."""


def co_batched(
    candidates: Iterable[Candidate],
    before: Mapping[SessionName, SessionName] | None = None,
    shared: SharedProfile = of_no_prefix,
    *,
    alike: bool = True,
) -> list[Candidate]:
    """The candidates, joined where that saves device time.

    Those with one ``shared`` profile can be, and if ``alike`` those of one model. ``before`` names
    the group of each session that is batched with others already (groups_of). Sessions that ask for
    a number of replicas are left alone: a group has one for all.
    """
    groups: dict[Kinds, list[tuple[Candidate, Choice]]] = {}
    known: dict[_Types, list[tuple[Candidate, Choice]]] = {}
    joined: list[Candidate] = []
    for candidate in candidates:
        session, own = candidate.demands[0].session, candidate.own
        if (
            own is None
            or session.replicas_min > 1
            or session.replicas_max
            or (not alike and not any(map(shared, own.demands)))
        ):
            joined.append(candidate)
            continue
        types = _types(session.model, candidate.demands, own.demands)
        group = known.get(types)
        if group is None:
            kinds = (_kinds(candidate.demands, shared), _kinds(own.demands, shared))
            group = known[types] = groups.setdefault(kinds, [])
        group.append((candidate, own))
    for members in groups.values():
        joined += _joined(members, before or {}, shared)
    return joined


def groups_of(plans: Iterable[BackendPlan]) -> dict[SessionName, SessionName]:
    """The group of every session that the plans batch together with others, by its first member."""
    groups: dict[SessionName, SessionName] = {}
    # The members of a pool share one tuple of placements.
    for plan in {id(plan.placements): plan for plan in plans}.values():
        members: dict[tuple[str, int, int], list[SessionName]] = {}
        for placement in plan.placements:
            if placement.group is not None:
                key = (placement.group, placement.batch, placement.slack_us)
                members.setdefault(key, []).append(placement.session)
        for names in members.values():
            for name in names:
                groups.setdefault(name, names[0])
    return groups


def together(members: Sequence[Demand], profile: Profile | None = None) -> Demand:
    """One demand for all members, at their summed rate and the tightest of their budgets.

    ``profile`` is that of their batches, where it is not the model's own: of a prefix group.
    """
    lead = min(members, key=_order)
    rate = sum([member.rate for member in members])
    table = lead.table
    if profile is not None:
        limit = min(member.batch_limit for member in members)
        table = batch_table(profile, min(profile.max_batch, limit))
    parts: list[Part] = []
    for member in members:
        share = member.rate / rate
        if member.parts:
            parts += [Part(session, share * part) for session, part in member.parts]
        else:
            parts.append(Part(member.session, share))
    parts.sort(key=lambda part: part.session.name)
    return Demand(
        session=lead.session,
        rate=rate,
        profile=profile or lead.profile,
        budget_us=lead.budget_us,
        table=table,
        batch=saturating_batch(table, lead.budget_us),
        parts=tuple(parts),
    )


def _order(demand: Demand) -> tuple[int, SessionName]:
    """The tightest first."""
    return demand.budget_us, demand.session.name


def occupied(demand: Demand) -> float:
    """How many devices a demand takes: whole ones, and the share of one that the residue needs."""
    whole = int(demand.rate / demand.throughput)
    left = demand.rate - whole * demand.throughput
    batch, cycle_us = demand.table.alone(left, demand.budget_us) if left > 0 else (0, 1)
    return whole + (demand.profile.latency_us(batch) / cycle_us if batch else 0.0)


@dataclass(frozen=True, slots=True)
class _Group:
    """Candidates batched together, and what they are as one on devices of their own."""

    members: tuple[Candidate, ...]
    own: Choice

    @property
    def order(self) -> tuple[int, SessionName]:
        """The tightest first."""
        return self.own.demands[0].budget_us, self.members[0].name

    def as_one(self, shared: SharedProfile) -> Candidate:
        """The members as one candidate.

        In a pool it is what it is on devices of its own, at the rate without headroom.
        """
        if len(self.members) == 1:
            return self.members[0]
        pooled = []
        for alike in zip(*(member.demands for member in self.members), strict=True):
            own = self.own.on(alike[0].profile.device)
            if own is not None:
                pooled.append(own.at_rate(sum([demand.rate for demand in alike])))
            else:
                pooled.append(together(alike, shared(alike[0])))
        return Candidate(tuple(pooled), self.own)


def _joined(
    alike: Iterable[tuple[Candidate, Choice]],
    before: Mapping[SessionName, SessionName],
    shared: SharedProfile,
) -> list[Candidate]:
    """Groups of candidates that can all share batches.

    Each newcomer, from the tightest on, joins the last group that is tighter, or begins one. Some
    do not join one by one what they would all gain from together, so that is tried, too: large ones
    of a prefix group, each of which pays for its own layers; and those that come at random, whose
    bursts even out among all of them.
    """
    together_before: dict[SessionName, list[tuple[Candidate, Choice]]] = {}
    newcomers: list[_Group] = []
    for candidate, own in alike:
        group_before = before.get(candidate.demands[0].session.name)
        if group_before is not None:
            together_before.setdefault(group_before, []).append((candidate, own))
        else:
            newcomers.append(_Group((candidate,), own))
    groups: list[_Group] = []
    for members in together_before.values():
        group = _group(members, shared)
        if group is None:
            newcomers += (_Group((candidate,), own) for candidate, own in members)
        else:
            groups.append(group)
    groups.sort(key=lambda group: group.order)
    for newcomer in sorted(newcomers, key=lambda group: group.order):
        place = bisect_right(groups, newcomer.order, key=lambda group: group.order)
        joined = _worth_joining((groups[place - 1].own, newcomer.own), shared) if place else None
        if joined is not None:
            groups[place - 1] = _Group(groups[place - 1].members + newcomer.members, joined)
        else:
            groups.insert(place, newcomer)
    if not together_before and _may_gain_at_once(groups[0].own.demands[0], shared):
        groups = _whole(groups, shared)
    return [group.as_one(shared) for group in groups]


def _may_gain_at_once(first: Demand, shared: SharedProfile) -> bool:
    return shared(first) is not None or not first.is_even


def _whole(groups: list[_Group], shared: SharedProfile) -> list[_Group]:
    """All groups as one, if that occupies less than they waste apart."""
    members = tuple(member for group in groups for member in group.members)
    if len(groups) == 1 or len(members) > MEMBERS_MAX:
        return groups
    joined = _worth_joining([group.own for group in groups], shared, RESIDUE_LOSS)
    return groups if joined is None else [_Group(members, joined)]


def _group(members: Sequence[tuple[Candidate, Choice]], shared: SharedProfile) -> _Group | None:
    """The members as one; None where together they cannot be in time (any more)."""
    ordered = sorted(members, key=lambda entry: _order(entry[1].demands[0]))
    own = ordered[0][1]
    if len(ordered) > 1:
        own = Choice(_all_together([own.demands for _, own in ordered], shared))
    if not all(demand.batch for demand in own.demands):
        return None
    return _Group(tuple(candidate for candidate, _ in ordered), own)


def _worth_joining(
    apart: Sequence[Choice], shared: SharedProfile, wasted: float = 0.0
) -> Choice | None:
    """All as one, if that takes no more than they do apart, where each but one has ``wasted``."""
    demands = _all_together([choice.demands for choice in apart], shared)
    if len(demands[0].parts) > MEMBERS_MAX or not all(demand.batch for demand in demands):
        return None
    least = sum(occupied(choice.demands[0]) for choice in apart) + wasted * (len(apart) - 1)
    return Choice(demands) if occupied(demands[0]) <= least else None


def _all_together(
    members: Sequence[tuple[Demand, ...]], shared: SharedProfile
) -> tuple[Demand, ...]:
    return tuple(together(alike, shared(alike[0])) for alike in zip(*members, strict=True))


def _kinds(
    demands: Sequence[Demand], shared: SharedProfile
) -> tuple[tuple[ModelName, DeviceType], ...]:
    return tuple(
        ((shared(demand) or demand.profile).model, demand.profile.device) for demand in demands
    )


def _types(model: ModelName, pooled: Sequence[Demand], own: Sequence[Demand]) -> _Types:
    devices = [demand.profile.device for demand in (*pooled, *own)]
    return (model, len(pooled), *devices)
