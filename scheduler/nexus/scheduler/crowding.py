"""Sessions that no SLO-safe packing has room for, put where they hurt least rather than nowhere.

When a fleet is too small even for a trickle of every session (tight SLOs that cannot share a
device, or a device that measures slower than its profile for a while), leaving a session out would
unload its model and, for a stage, end its whole query. Instead it gets a place without a promise:
batches of one in a cycle that may be longer than its SLO allows. Backends are eager and drop what
cannot be in time, so below the planned load it is served well; its rate stays reported as unmet.
"""

from collections.abc import Sequence
from dataclasses import replace

from nexus.scheduler.demand import Demand
from nexus.scheduler.fleet import FACTOR_MIN, Choice
from nexus.scheduler.packing import Node, memory_fits


def crowd(nodes: Sequence[Node], left_out: Sequence[Choice]) -> tuple[Node, ...]:
    """The nodes with every session of ``left_out`` on one of them that has the memory for it.

    A session stays out only where no device could even hold its model.
    """
    crowded = list(nodes)
    for choice in left_out:
        candidates = [
            (fuller.execute_us, index, fuller)
            for demand in choice.scaled(FACTOR_MIN).demands
            for index, node in enumerate(crowded)
            if (fuller := _fuller(node, demand)) is not None
        ]
        if candidates:
            _, index, fuller = min(candidates, key=lambda candidate: candidate[:2])
            crowded[index] = fuller
    return tuple(crowded)


def _fuller(node: Node, demand: Demand) -> Node | None:
    """The node with one batch of the least useful size of ``demand`` in each cycle."""
    demands = (*node.demands, demand)
    if demand.profile.device != node.device.type or not memory_fits(demands, node.device):
        return None
    fuller = replace(node, demands=demands, batches=(*node.batches, demand.cheapest[1]))
    return replace(fuller, duty_cycle_us=max(node.duty_cycle_us, fuller.execute_us))
