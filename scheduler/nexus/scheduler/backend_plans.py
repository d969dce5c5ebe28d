"""Nodes in the words of the plan, and plans of sessions batched together read back as one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nexus.core.names import SessionName
from nexus.core.plan import BackendPlan, Placement
from nexus.scheduler.demand import Demand
from nexus.scheduler.node import Node, memory_bytes


def as_backend_plan(node: Node, backend: str = "") -> BackendPlan:
    """What the node's device does; a placement for every session."""
    return BackendPlan(
        backend=backend,
        device=node.device.type,
        duty_cycle_us=node.duty_cycle_us,
        occupancy=node.occupancy,
        placements=tuple(
            placement
            for demand, batch in zip(node.demands, node.batches, strict=True)
            for placement in _placements(node, demand, batch)
        ),
        memory_bytes=memory_bytes(node.demands),
    )


def folded(plan: BackendPlan, leads: Mapping[SessionName, SessionName]) -> BackendPlan:
    """The plan as it reads when the sessions that ``leads`` names go under their leads' names."""
    if not any(placement.session in leads for placement in plan.placements):
        return plan
    kept: dict[SessionName, Placement] = {}
    for placement in plan.placements:
        name = leads.get(placement.session, placement.session)
        known = kept.get(name)
        rate = placement.rate + (known.rate if known is not None else 0.0)
        kept[name] = replace(known or placement, session=name, rate=rate)
    return replace(plan, placements=tuple(kept.values()))


def _placements(node: Node, demand: Demand, batch: int) -> Iterator[Placement]:
    """One placement, or one for every session that is batched together.

    Of a prefix group each carries an equal part of the memory, so that the models sum up to it.
    """
    alone = Placement(
        session=demand.name,
        model=demand.session.model,
        slo_us=demand.session.slo_us,
        batch=batch,
        rate=demand.rate,
        latency_us=demand.profile.latency_us(batch),
        memory_bytes=demand.profile.memory_bytes,
        pool=node.pool,
        slack_us=node.slack_us,
    )
    if not demand.parts:
        yield alone
        return
    models = sorted({part.session.model for part in demand.parts})
    each, left = divmod(demand.profile.memory_bytes, len(models))
    for part in demand.parts:
        session = part.session
        yield replace(
            alone,
            session=session.name,
            model=session.model,
            slo_us=session.slo_us,
            rate=demand.rate * part.share,
            memory_bytes=each + (left if session.model == models[0] else 0),
            group=demand.profile.model,
        )
