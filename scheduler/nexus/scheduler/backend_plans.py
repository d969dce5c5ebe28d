"""Nodes in the words of the plan, and plans of sessions batched together read back as one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from nexus.core.names import SessionName
from nexus.core.plan import BackendPlan, Placement
from nexus.scheduler.demand import Demand, Part
from nexus.scheduler.node import Node, memory_bytes


def as_backend_plan(node: Node, backend: str = "") -> BackendPlan:
    """What the node's device does; a placement for every session."""
    placements: list[Placement] = []
    for demand, batch in zip(node.demands, node.batches, strict=True):
        if demand.parts:
            placements += _of_parts(node, demand, batch)
        else:
            placements.append(_placement(node, demand, batch, demand.profile.memory_bytes))
    return BackendPlan(
        backend=backend,
        device=node.device.type,
        duty_cycle_us=node.duty_cycle_us,
        occupancy=node.occupancy,
        placements=tuple(placements),
        memory_bytes=memory_bytes(node.demands),
    )


def folded(
    plans: Iterable[BackendPlan], leads: Mapping[SessionName, SessionName]
) -> list[BackendPlan]:
    """The plans as they read when the sessions that ``leads`` names go under their leads' names."""
    known: dict[int, tuple[Placement, ...]] = {}
    read = []
    for plan in plans:
        # The members of a pool share one tuple of placements.
        key = id(plan.placements)
        if key not in known:
            known[key] = _folded(plan.placements, leads)
        same = known[key] is plan.placements
        read.append(plan if same else replace(plan, placements=known[key]))
    return read


def _folded(
    placements: tuple[Placement, ...], leads: Mapping[SessionName, SessionName]
) -> tuple[Placement, ...]:
    if not any(placement.session in leads for placement in placements):
        return placements
    first: dict[SessionName, Placement] = {}
    rates: dict[SessionName, float] = {}
    for placement in placements:
        name = leads.get(placement.session, placement.session)
        first.setdefault(name, placement)
        rates[name] = rates.get(name, 0.0) + placement.rate
    return tuple(
        placement
        if (placement.session, placement.rate) == (name, rates[name])
        else replace(placement, session=name, rate=rates[name])
        for name, placement in first.items()
    )


def _of_parts(node: Node, demand: Demand, batch: int) -> Iterator[Placement]:
    """A placement for every session that is batched together.

    Of a prefix group each carries an equal part of the memory, so that the models sum up to it.
    """
    models = sorted({part.session.model for part in demand.parts})
    each, left = divmod(demand.profile.memory_bytes, len(models))
    for part in demand.parts:
        memory_bytes = each + (left if part.session.model == models[0] else 0)
        yield _placement(node, demand, batch, memory_bytes, part)


def _placement(
    node: Node, demand: Demand, batch: int, memory_bytes: int, part: Part | None = None
) -> Placement:
    """The placement of a demand, or of one ``part`` of it."""
    session = demand.session if part is None else part.session
    return Placement(
        session=session.name,
        model=session.model,
        slo_us=session.slo_us,
        batch=batch,
        rate=demand.rate if part is None else demand.rate * part.share,
        latency_us=demand.profile.latencies_us[batch - 1],
        memory_bytes=memory_bytes,
        pool=node.pool,
        slack_us=node.slack_us,
        single_us=demand.profile.latencies_us[0],
        arrives_evenly=demand.is_even,
        group=None if part is None else _group_name(demand),
    )


def _group_name(demand: Demand) -> str:
    """Its first session's: a device may run several groups of one model, with batches of their own.

    A prefix group goes by the name of its profile, which the backend looks up.
    """
    lead = demand.parts[0].session
    return lead.name if lead.model == demand.profile.model else demand.profile.model
