"""Squishy bin packing: which sessions share a device, at which batch sizes and duty cycle.

The paper's Algorithm 1. ``saturate`` gives whole devices to a session; ``pack_residues`` merges
what is left, best fit first (open_nodes.py). What a node may hold is said in node.py.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from nexus.core.device import DeviceSpec
from nexus.scheduler.demand import Demand
from nexus.scheduler.node import (
    Node,
    alone_node,
    fit,
    memory_bytes,
    memory_fits,
    merge,
    saturate,
)
from nexus.scheduler.open_nodes import OpenNodes
from nexus.scheduler.thinning import thinned

__all__ = [
    "Node",
    "alone_node",
    "fit",
    "memory_bytes",
    "memory_fits",
    "merge",
    "pack_device",
    "pack_residues",
    "saturate",
]

BOTH_ORDERS_MAX = 256
"""Beyond this many residues only rising duty cycles are tried: there they always win."""


def pack_residues(
    residues: Sequence[Demand],
    device: DeviceSpec,
    *,
    search: bool,
    divide: bool = True,
    opened: Sequence[Node] = (),
) -> list[Node]:
    """Best-fit packing of residues, largest occupancy first, into ``opened`` and new nodes.

    With ``search`` they are also packed in the order of rising duty cycles, and the better packing
    is kept: neighbours in that order lose least by a common cycle, and large problems live on that.
    Then, with ``divide``, sessions are divided between nodes where that saves one (thinning.py).
    """
    alone = [alone_node(residue, device) for residue in residues]
    if not search:
        return _best_fit(_by_occupancy(alone), opened)
    nodes = _best_fit(sorted(alone, key=lambda node: node.duty_cycle_us), opened)
    if len(alone) <= BOTH_ORDERS_MAX:
        nodes = min(nodes, _best_fit(_by_occupancy(alone), opened), key=_cost)
    return thinned(nodes, keep=len(opened)) if divide else nodes


def pack_device(
    demands: Sequence[Demand],
    device: DeviceSpec,
    *,
    search: bool,
    divide: bool = True,
    opened: Sequence[Node] = (),
) -> list[Node]:
    """All demands on as many devices of one type as it takes: both phases.

    The ``opened`` nodes come first in the result, filled further, in their order.
    """
    hosts = Counter(demand.name for node in opened for demand in node.demands)
    whole: list[Node] = []
    residues: list[Demand] = []
    for demand in demands:
        saturated, rest = _replicas(demand, device, present=hosts[demand.session.name])
        whole += saturated
        residues += rest
    shared = pack_residues(residues, device, search=search, divide=divide, opened=opened)
    return shared[: len(opened)] + whole + shared[len(opened) :]


def _replicas(
    demand: Demand, device: DeviceSpec, *, present: int
) -> tuple[list[Node], list[Demand]]:
    """Whole devices and residues of a demand: as many together as the session asks for.

    ``present`` devices have a share of it already. Fewer devices than ``replicas_min`` may exist;
    then there is one on each.
    """
    whole, residue = saturate(demand, device)
    wanted = demand.session.replicas_min
    if device.count is not None:
        wanted = min(wanted, device.count)
    missing = wanted - present - len(whole)
    if missing > (residue is not None):
        count = wanted - present
        return [], [demand.at_rate(demand.rate / count)] * count
    return whole, [residue] if residue is not None else []


def _by_occupancy(alone: Iterable[Node]) -> list[Node]:
    return sorted(alone, key=lambda node: -node.occupancy)


def _best_fit(alone: Iterable[Node], opened: Sequence[Node]) -> list[Node]:
    nodes = OpenNodes(opened)
    for single in alone:
        nodes.place(single)
    return nodes.nodes


def _cost(nodes: Sequence[Node]) -> tuple[int, float]:
    """Devices, and how busy they are: what is idle can be spent as slack."""
    return len(nodes), sum(node.occupancy for node in nodes)
