"""A Node: one device and the sessions it runs, at their batch sizes and duty cycle.

A duty cycle d and batch sizes b_i are feasible together when

    sum of l_i(b_i) <= d          the work of a cycle fits the cycle
    b_i >= d * rate_i             every session's rate is covered
    d + l_i(b_i) <= budget_i      who just missed a batch is still in time
    sum of memory <= memory       weights once per model

Every node made here satisfies all four; nothing relies on latency growing with the batch.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nexus.core.device import DeviceSpec
from nexus.core.names import PoolName
from nexus.core.units import US_PER_S
from nexus.scheduler.demand import BATCH_EPSILON, Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """``batches[i]`` is the batch size of ``demands[i]``.

    ``occupancy_min`` is the sum of what each demand would occupy alone at best: no merge comes
    below it, but for the rounding of cycles to microseconds. A member of a ``pool`` is never
    merged: its duty cycle says how busy it is, and is kept by nobody (ADR 0020); its batches start
    ``slack_us`` before their last moment. ``settled`` nodes run as the last plan had them, slack
    spent and all (retention.py).
    """

    device: DeviceSpec
    demands: tuple[Demand, ...]
    batches: tuple[int, ...]
    duty_cycle_us: int
    occupancy_min: float
    pool: PoolName | None = None
    slack_us: int = 0
    packed: "Node | None" = None
    execute_us: int = field(init=False, compare=False)
    """The work of one duty cycle."""

    def __post_init__(self) -> None:
        """Add the work up once: best fit asks for it of every node it looks at."""
        work_us = 0
        for demand, batch in zip(self.demands, self.batches, strict=True):
            work_us += demand.profile.latencies_us[batch - 1]
        object.__setattr__(self, "execute_us", work_us)

    @property
    def bare(self) -> "Node":
        """The node without the slack it has spent: what others may join."""
        return self.packed or self

    @property
    def occupancy(self) -> float:
        """The share of the duty cycle spent executing."""
        return self.execute_us / self.duty_cycle_us


def saturate(demand: Demand, device: DeviceSpec) -> tuple[list[Node], Demand | None]:
    """Whole devices for as much of the rate as fills them, and the residue, if any."""
    assert demand.batch, f"{demand.name} is infeasible"
    throughput = demand.throughput
    count = int(demand.rate / throughput + BATCH_EPSILON)
    left = demand.rate - count * throughput
    residue = demand.at_rate(left) if left > BATCH_EPSILON * throughput else None
    whole = [alone_node(demand.at_rate(throughput), device)] * count if count else []
    return whole, residue


def alone(demand: Demand) -> tuple[int, int]:
    """The batch size and duty cycle of a demand on a device of its own.

    That which occupies least of it, or, where the rate is more than a device can do, most of it.
    """
    if demand.rate >= demand.throughput * (1 - BATCH_EPSILON):
        return demand.batch, demand.profile.latency_us(demand.batch)
    batch, cycle_us = demand.table.alone(demand.rate, demand.budget_us)
    assert batch, f"{demand.name}: a residue below T always fits a device"
    return batch, cycle_us


def alone_node(demand: Demand, device: DeviceSpec) -> Node:
    """The demand on a device of its own, at most as much of it as one device does."""
    batch, duty_cycle_us = alone(demand)
    throughput = demand.throughput
    return Node(
        device=device,
        demands=(demand if demand.rate <= throughput else demand.at_rate(throughput),),
        batches=(batch,),
        duty_cycle_us=duty_cycle_us,
        occupancy_min=demand.profile.latencies_us[batch - 1] / duty_cycle_us,
    )


def fit(
    demands: tuple[Demand, ...], duty_cycle_us: int, device: DeviceSpec, occupancy_min: float
) -> Node | None:
    """The demands together on one device at this duty cycle, or None when they do not fit."""
    batches = []
    work_us = 0
    for demand in demands:
        # As demand.batch_for does, which this is called too often to call.
        wanted = math.ceil(duty_cycle_us * demand.rate / US_PER_S - BATCH_EPSILON) or 1
        cheapest = demand.table.cheapest
        if wanted >= len(cheapest):
            return None
        batch = cheapest[wanted]
        latency_us = demand.profile.latencies_us[batch - 1]
        work_us += latency_us
        if work_us > duty_cycle_us or duty_cycle_us + latency_us > demand.budget_us:
            return None
        batches.append(batch)
    return Node(
        device=device,
        demands=demands,
        batches=tuple(batches),
        duty_cycle_us=duty_cycle_us,
        occupancy_min=occupancy_min,
    )


def together(
    demands: tuple[Demand, ...], device: DeviceSpec, cycle_us: int | None = None
) -> Node | None:
    """The demands on one device, or None when they do not fit it.

    The duty cycle is the shortest of what each would have alone; if that does not do, ``cycle_us``,
    a cycle in which they have been together before.
    """
    if not memory_fits(demands, device):
        return None
    shortest_us, occupancy_min = demands[0].budget_us, 0.0
    for demand in demands:
        batch, alone_us = alone(demand)
        occupancy_min += demand.profile.latencies_us[batch - 1] / alone_us
        shortest_us = min(shortest_us, alone_us)
    node = fit(demands, shortest_us, device, occupancy_min)
    if node is None and cycle_us is not None:
        node = fit(demands, cycle_us, device, occupancy_min)
    return node


def merge(node: Node, other: Node) -> Node | None:
    """Both nodes on one device, or None: the paper's merge, at the shorter of the duty cycles.

    Two shares of one session are never merged: they were put apart for a reason.
    """
    demands = node.demands + other.demands
    if len({demand.session.name for demand in demands}) < len(demands):
        return None
    if not memory_fits(demands, node.device):
        return None
    shorter_us = min(node.duty_cycle_us, other.duty_cycle_us)
    return fit(demands, shorter_us, node.device, node.occupancy_min + other.occupancy_min)


def is_feasible(node: Node) -> bool:
    """Whether a node made elsewhere satisfies the constraints of this module, memory aside."""
    cycle_us = node.duty_cycle_us
    return node.execute_us <= cycle_us and all(
        cycle_us * demand.rate <= (batch + BATCH_EPSILON) * US_PER_S
        and cycle_us + demand.profile.latencies_us[batch - 1] <= demand.budget_us
        for demand, batch in zip(node.demands, node.batches, strict=True)
    )


def memory_fits(demands: Sequence[Demand], device: DeviceSpec) -> bool:
    """Whether the models of the demands fit the device together; weights count once a model."""
    limit = device.memory_bytes
    if not limit:
        return True
    # In full for each is an upper bound, and usually enough to know.
    each = sum([demand.profile.memory_bytes + demand.shared_memory_bytes for demand in demands])
    return each <= limit or memory_bytes(demands) <= limit


def memory_bytes(demands: Iterable[Demand]) -> int:
    """Memory of the distinct models of the demands, and of what groups of them share, once."""
    sizes: dict[str, int] = {}
    shared: dict[str, int] = {}
    for demand in demands:
        sizes[demand.profile.model] = demand.profile.memory_bytes
        if demand.shared_memory_key:
            shared[demand.shared_memory_key] = demand.shared_memory_bytes
    return sum(sizes.values()) + sum(shared.values())
