"""Squishy bin packing: which sessions share a device, at which batch sizes and duty cycle.

The paper's Algorithm 1. ``saturate`` gives whole devices to a session; ``pack_residues`` merges
what is left, best fit first. A duty cycle d and batch sizes b_i are feasible together when

    sum of l_i(b_i) <= d          the work of a cycle fits the cycle
    b_i >= d * rate_i             every session's rate is covered
    d + l_i(b_i) <= budget_i      who just missed a batch is still in time
    sum of memory <= memory       weights once per model

Every node made here satisfies all four; nothing relies on latency growing with the batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nexus.core.device import DeviceSpec
from nexus.core.names import PoolName
from nexus.core.plan import BackendPlan, Placement
from nexus.core.units import US_PER_S
from nexus.scheduler.demand import BATCH_EPSILON, Demand

OCCUPANCY_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One device and what runs on it: ``batches[i]`` is the batch size of ``demands[i]``.

    ``occupancy_min`` is the sum of what each demand would occupy alone at best; no merge can come
    below it, so a sum above 1 rules a merge out without trying. A member of a ``pool`` is never
    merged: its duty cycle says how busy it is, and is kept by nobody.
    """

    device: DeviceSpec
    demands: tuple[Demand, ...]
    batches: tuple[int, ...]
    duty_cycle_us: int
    occupancy_min: float
    pool: PoolName | None = None

    @property
    def occupancy(self) -> float:
        """The share of the duty cycle spent executing."""
        return self.execute_us / self.duty_cycle_us

    @property
    def execute_us(self) -> int:
        """The work of one duty cycle."""
        return sum(
            demand.profile.latency_us(batch)
            for demand, batch in zip(self.demands, self.batches, strict=True)
        )


def saturate(demand: Demand, device: DeviceSpec) -> tuple[list[Node], Demand | None]:
    """Whole devices for as much of the rate as fills them, and the residue, if any."""
    assert demand.batch, f"{demand.name} is infeasible"
    throughput = demand.throughput
    count = int(demand.rate / throughput + BATCH_EPSILON)
    node = Node(
        device=device,
        demands=(demand.at_rate(throughput),),
        batches=(demand.batch,),
        duty_cycle_us=demand.profile.latency_us(demand.batch),
        occupancy_min=1.0,
    )
    left = demand.rate - count * throughput
    residue = demand.at_rate(left) if left > BATCH_EPSILON * throughput else None
    return [node] * count, residue


def residue_node(residue: Demand, device: DeviceSpec) -> Node:
    """A device for a residue alone, at the batch size that occupies least of it.

    Batch b is gathered in b / rate, but no cycle may be longer than budget - l(b): at a low rate
    the device runs small batches early (the paper is silent; its code has the same limit).
    """
    best: tuple[float, int, int] | None = None
    for batch in range(1, residue.batch_limit + 1):
        latency_us = residue.profile.latency_us(batch)
        duty_cycle_us = min(residue.budget_us - latency_us, residue.gather_us(batch))
        if duty_cycle_us < latency_us:
            continue
        occupancy = latency_us / duty_cycle_us
        if best is None or occupancy < best[0]:
            best = (occupancy, batch, duty_cycle_us)
    assert best is not None, f"{residue.name}: a residue below T always fits a device"
    occupancy, batch, duty_cycle_us = best
    return Node(
        device=device,
        demands=(residue,),
        batches=(batch,),
        duty_cycle_us=duty_cycle_us,
        occupancy_min=occupancy,
    )


def fit(
    demands: tuple[Demand, ...], duty_cycle_us: int, device: DeviceSpec, occupancy_min: float
) -> Node | None:
    """The demands together on one device at this duty cycle, or None when they do not fit."""
    batches = []
    work_us = 0
    for demand in demands:
        batch = demand.batch_for(duty_cycle_us)
        if not batch:
            return None
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


def merge(node: Node, other: Node, *, search: bool) -> Node | None:
    """Both nodes on one device, or None. The paper's duty cycle is the shorter of the two.

    With ``search`` any duty cycle is tried that just fills a batch of some session.
    """
    demands = _combined(node.demands + other.demands)
    shared = len(demands) < len(node.demands) + len(other.demands)
    # Items of one session batch together, so there the sum is no lower bound.
    occupancy_min = node.occupancy_min + (0.0 if shared else other.occupancy_min)
    if occupancy_min > 1 + OCCUPANCY_EPSILON or not memory_fits(demands, node.device):
        return None
    shorter_us = min(node.duty_cycle_us, other.duty_cycle_us)
    merged = fit(demands, shorter_us, node.device, occupancy_min)
    if merged is None and search:
        return fit_any(demands, node.device, occupancy_min)
    return merged


def fit_any(
    demands: tuple[Demand, ...], device: DeviceSpec, occupancy_min: float = 0.0
) -> Node | None:
    """The demands on one device at the duty cycle that occupies least of it, or None."""
    best: Node | None = None
    for duty_cycle_us in _duty_cycles(demands):
        node = fit(demands, duty_cycle_us, device, occupancy_min)
        if node is not None and (best is None or node.occupancy < best.occupancy):
            best = node
    return best


def memory_fits(demands: Iterable[Demand], device: DeviceSpec) -> bool:
    """Whether the models of the demands fit the device together; weights count once a model."""
    return not device.memory_bytes or memory_bytes(demands) <= device.memory_bytes


def memory_bytes(demands: Iterable[Demand]) -> int:
    """Memory of the distinct models of the demands."""
    return sum({d.profile.model: d.profile.memory_bytes for d in demands}.values())


def pack_residues(
    residues: Sequence[Demand],
    device: DeviceSpec,
    *,
    search: bool,
    opened: Sequence[Node] = (),
) -> list[Node]:
    """Best-fit packing of residues, largest occupancy first, into ``opened`` and new nodes.

    With ``search`` the order of rising duty cycles is tried too and the better packing kept.
    """
    alone = [residue_node(residue, device) for residue in residues]
    by_occupancy = sorted(alone, key=lambda node: -node.occupancy)
    nodes = _best_fit(by_occupancy, opened, search=search)
    if search and len(alone) > 2:  # noqa: PLR2004 - with two, the order cannot matter
        by_duty_cycle = sorted(alone, key=lambda node: node.duty_cycle_us)
        other = _best_fit(by_duty_cycle, opened, search=search)
        nodes = other if len(other) < len(nodes) else nodes
    return nodes


def pack_device(
    demands: Sequence[Demand], device: DeviceSpec, *, search: bool, opened: Sequence[Node] = ()
) -> list[Node]:
    """All demands on as many devices of one type as it takes: both phases.

    The ``opened`` nodes come first in the result, filled further, in their order.
    """
    whole: list[Node] = []
    residues: list[Demand] = []
    for demand in demands:
        saturated, residue = saturate(demand, device)
        whole += saturated
        if residue is not None:
            residues.append(residue)
    shared = pack_residues(residues, device, search=search, opened=opened)
    return shared[: len(opened)] + whole + shared[len(opened) :]


def as_backend_plan(node: Node, backend: str = "") -> BackendPlan:
    """The node in the words of the plan."""
    placements = tuple(
        Placement(
            session=demand.name,
            model=demand.session.model,
            slo_us=demand.session.slo_us,
            batch=batch,
            rate=demand.rate,
            latency_us=demand.profile.latency_us(batch),
            memory_bytes=demand.profile.memory_bytes,
            pool=node.pool,
        )
        for demand, batch in zip(node.demands, node.batches, strict=True)
    )
    return BackendPlan(
        backend=backend,
        device=node.device.type,
        duty_cycle_us=node.duty_cycle_us,
        occupancy=node.occupancy,
        placements=placements,
        memory_bytes=memory_bytes(node.demands),
    )


def _combined(demands: tuple[Demand, ...]) -> tuple[Demand, ...]:
    """Each session once, with the sum of its rates."""
    by_name: dict[str, Demand] = {}
    for demand in demands:
        known = by_name.get(demand.name)
        by_name[demand.name] = demand.at_rate(known.rate + demand.rate) if known else demand
    return tuple(by_name.values())


def _best_fit(alone: Sequence[Node], opened: Sequence[Node], *, search: bool) -> list[Node]:
    nodes = list(opened)
    for single in alone:
        best: tuple[int, Node] | None = None
        for index, node in enumerate(nodes):
            merged = merge(node, single, search=search)
            if merged is not None and (best is None or merged.occupancy > best[1].occupancy):
                best = (index, merged)
        if best is None:
            nodes.append(single)
        else:
            nodes[best[0]] = best[1]
    return nodes


def _duty_cycles(demands: tuple[Demand, ...]) -> list[int]:
    """Duty cycles worth trying: for given batch sizes the longest is best.

    It is limited by the arrivals that fill a batch, or by the SLO that a batch must meet.
    """
    fastest_us = [demand.profile.latency_us(demand.cheapest[1]) for demand in demands]
    shortest_us = sum(fastest_us)
    longest_us = min(
        demand.budget_us - latency_us
        for demand, latency_us in zip(demands, fastest_us, strict=True)
    )
    cycles: set[int] = set()
    for demand in demands:
        first = max(1, int(shortest_us * demand.rate / US_PER_S))
        last = min(demand.batch_limit, int(longest_us * demand.rate / US_PER_S) + 1)
        for batch in range(first, last + 1):
            gather_us = demand.gather_us(batch)
            latest_us = demand.budget_us - demand.profile.latencies_us[batch - 1]
            cycles.add(min(gather_us, latest_us))
    return sorted(cycle for cycle in cycles if shortest_us <= cycle <= longest_us)
