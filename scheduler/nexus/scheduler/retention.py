"""Re-planning that keeps what still fits: the paper's incremental scheduling, section 6.1.

A session keeps its backends while its rate lasts, fullest first; a device that overflows gives up
its cheapest sessions until it fits; what is left over is packed into the room there is, then onto
new devices. Whether that is better than packing afresh is for hysteresis.py to say.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nexus.core.device import DeviceSpec
from nexus.core.names import SessionName
from nexus.core.plan import BackendPlan, Placement
from nexus.scheduler.demand import BATCH_EPSILON, Demand
from nexus.scheduler.fleet import Choice, Fleet, covered, pack_fleet
from nexus.scheduler.node import Node, alone_node, is_feasible, together


def retained_fleet(
    previous: Sequence[BackendPlan],
    choices: Sequence[Choice],
    devices: Sequence[DeviceSpec],
    *,
    search: bool,
) -> Fleet:
    """The previous nodes refitted to the new rates, and the rest packed around them.

    ``previous`` must only name backends that are still there. Where neither rates nor sessions of a
    backend have changed its node is just what it was.
    """
    types = {device.type: device for device in devices}
    shares = _shares(previous, {choice.name: choice for choice in choices})
    plans: dict[int, BackendPlan] = {}
    kept: list[Node] = []
    for plan, demands in zip(previous, shares, strict=True):
        device = types.get(plan.device)
        node = _refit(demands, device, plan.duty_cycle_us) if device is not None else None
        if node is not None:
            kept.append(node)
            plans[id(node)] = plan
    rates = covered(kept)
    left = [_left(choice, rates.get(choice.name, 0.0)) for choice in choices]
    rest = [choice for choice in left if choice is not None]
    fleet = pack_fleet(rest, devices, search=search, opened=kept)
    return replace(
        fleet,
        nodes=tuple(
            _as_before(node, plans[id(node)]) if id(node) in plans else node for node in fleet.nodes
        ),
    )


def _as_before(node: Node, plan: BackendPlan) -> Node:
    """The node as it was in the last plan, if that plan is right for its demands still."""
    demands, placements = node.demands, plan.placements
    if len(demands) != len(placements) or not all(map(_unchanged, demands, placements)):
        return node
    before = Node(
        device=node.device,
        demands=demands,
        batches=tuple(placement.batch for placement in placements),
        duty_cycle_us=plan.duty_cycle_us,
        occupancy_min=node.occupancy_min,
        packed=node,
    )
    return before if is_feasible(before) else node


def _unchanged(demand: Demand, placement: Placement) -> bool:
    return (
        demand.session.name == placement.session
        and math.isclose(demand.rate, placement.rate, rel_tol=BATCH_EPSILON)
        and placement.batch <= demand.batch_limit
        and demand.profile.latencies_us[placement.batch - 1] == placement.latency_us
    )


def _shares(
    previous: Sequence[BackendPlan], choices: Mapping[SessionName, Choice]
) -> list[tuple[Demand, ...]]:
    """What each previous backend should now do of each of its sessions, in the plan's order."""
    hosts: dict[SessionName, list[tuple[float, int, Demand]]] = {}
    for index, plan in enumerate(previous):
        for placement in plan.placements:
            choice = choices.get(placement.session)
            demand = choice.on(plan.device) if choice is not None else None
            if demand is not None and placement.rate > 0:
                hosts.setdefault(placement.session, []).append((-placement.rate, index, demand))
    shares: list[dict[SessionName, Demand]] = [{} for _ in previous]
    for name, entries in hosts.items():
        left = choices[name].rate
        entries.sort(key=lambda entry: entry[:2])
        del entries[entries[0][2].session.replicas_max or len(entries) :]
        apart = len(entries) < entries[0][2].session.replicas_min
        for position, (rate, index, demand) in enumerate(entries):
            dedicated = len(previous[index].placements) == 1
            last = position == len(entries) - 1
            most = demand.throughput if dedicated else -rate
            share = left if last and not dedicated else min(left, most)
            if apart:
                share = min(share, demand.rate / demand.session.replicas_min)
            if math.isclose(share, -rate, rel_tol=BATCH_EPSILON):
                share = -rate  # to the last digit, so that unchanged plans are equal
            if share > BATCH_EPSILON * demand.rate:
                shares[index][name] = demand if share == demand.rate else demand.at_rate(share)
                left -= share
    return [
        tuple(mine[p.session] for p in plan.placements if p.session in mine)
        for plan, mine in zip(previous, shares, strict=True)
    ]


def _refit(demands: tuple[Demand, ...], device: DeviceSpec, cycle_us: int) -> Node | None:
    """The demands on one device; the cheapest are evicted until the rest fits."""
    while len(demands) > 1:
        node = together(demands, device, cycle_us)
        if node is not None:
            return node
        cheapest = min(demands, key=lambda demand: alone_node(demand, device).occupancy_min)
        demands = tuple(demand for demand in demands if demand is not cheapest)
    return alone_node(demands[0], device) if demands else None


def _left(choice: Choice, rate: float) -> Choice | None:
    """What is still to be placed of a choice of which ``rate`` is covered."""
    share = 1 - rate / choice.rate
    return choice.scaled(share) if share > BATCH_EPSILON else None
