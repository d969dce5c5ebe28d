"""Whether packing afresh is worth the movement: a plan in force is left only for a cheaper one.

A fresh plan takes the fewest devices and moves nearly everything; the plan that goes on from the
one in force moves little. The fresh one is taken when

    price of the devices saved  x  the time until the next epoch  >  price of the time spent loading

(Nexus section 6.1). It is not even made where that is out of the question: at ten thousand sessions
making it is what costs most.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nexus.core.units import US_PER_S
from nexus.scheduler.allocation import Allocation
from nexus.scheduler.needs import LOAD_US_UNKNOWN
from nexus.scheduler.node import Node
from nexus.scheduler.packing import pack_device
from nexus.scheduler.thinning import thinned

ALWAYS_TRIED_NODES = 64
"""Up to so many devices a fresh plan is always made: it is cheap, and may move next to nothing."""
MOVED_SHARE_MIN = 0.25
"""Of the models on many devices a fresh plan moves at least this share (ADR 0022)."""
SAMPLE_NODES = 128
"""So many devices are packed afresh to see what it would save."""

Fresh = Callable[[], Allocation]
Movement = Callable[[Allocation], float]
"""The microseconds of loading that going over to an allocation costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was compared. Prices are a device's times their number; ``fresh`` None: not made."""

    kept: float
    horizon_us: int
    fresh: float | None = None
    movement_us: float = 0.0
    """What the fresh plan moves beyond what the kept one does, at a device of price 1."""

    @property
    def pays(self) -> bool:
        """Whether the fresh plan is to be taken."""
        if self.fresh is None:
            return False
        return (self.kept - self.fresh) * self.horizon_us > self.movement_us

    def sentence(self) -> str:
        """For people: the numbers behind the decision."""
        if self.fresh is None:
            return f"going on costs {self.kept:g}; planning afresh could not pay"
        saved = self.kept - self.fresh
        text = f"going on costs {self.kept:g}, planning afresh {self.fresh:g}"
        if saved <= 0:
            return f"{text}: kept"
        return (
            f"{text}: {saved:g} x {self.horizon_us / US_PER_S:g} s saved, "
            f"{self.movement_us / US_PER_S:.1f} s of loading: {'taken' if self.pays else 'kept'}"
        )


def cheaper(
    kept: Allocation, fresh: Fresh, movement: Movement, horizon_us: int, *, search: bool
) -> Allocation:
    """The allocation to take, with the reason; ``horizon_us`` is how long a plan is good for.

    Devices of ``kept`` that others have room for are given up first; with ``search`` sessions may
    be divided for that. Where nothing has changed, nothing is.
    """
    changed = any(node.packed is None for node in kept.own)
    if kept.complete and changed:
        kept = replace(kept, own=_consolidated(kept.own, horizon_us, divide=search))
    going_on = price(kept.nodes)
    if kept.complete and not worth_making(kept, horizon_us, search=search):
        return replace(kept, why=Verdict(kept=going_on, horizon_us=horizon_us).sentence())
    made = fresh()
    if not kept.complete:
        return replace(made, why="what was there before does not suffice: planned afresh")
    if not made.complete:
        return kept
    verdict = Verdict(
        kept=going_on,
        fresh=price(made.nodes),
        horizon_us=horizon_us,
        movement_us=movement(made) - movement(kept),
    )
    return replace(made if verdict.pays else kept, why=verdict.sentence())


def worth_making(kept: Allocation, horizon_us: int, *, search: bool) -> bool:
    """Whether a fresh plan might pay; of many devices a sample is packed afresh to see that."""
    if len(kept.nodes) <= ALWAYS_TRIED_NODES:
        return True
    sample = kept.own[:: 1 + len(kept.own) // SAMPLE_NODES]
    if not sample:
        return False
    saved = (price(sample) - price(_packed_afresh(sample, search=search))) / price(sample)
    worth = saved * price(kept.own) * horizon_us
    return worth > MOVED_SHARE_MIN * loading_us(kept.own)


def _packed_afresh(nodes: Sequence[Node], *, search: bool) -> list[Node]:
    packed: list[Node] = []
    for device in {node.device.type: node.device for node in nodes}.values():
        demands = [d for node in nodes if node.device == device for d in node.demands]
        packed += pack_device(demands, replace(device, count=None), search=search)
    return packed


def _consolidated(nodes: Sequence[Node], horizon_us: int, *, divide: bool) -> tuple[Node, ...]:
    """The nodes without those whose loading elsewhere takes less than they would cost."""

    def worth(node: Node) -> bool:
        return loading_us((node,)) < horizon_us

    types = dict.fromkeys(node.device.type for node in nodes)
    return tuple(
        node
        for name in types
        for node in thinned(
            [node for node in nodes if node.device.type == name], worth=worth, divide=divide
        )
    )


def loading_us(nodes: Sequence[Node]) -> float:
    """How long loading the models of nodes takes, one after the other."""
    return sum(
        demand.profile.load_us or LOAD_US_UNKNOWN for node in nodes for demand in node.demands
    )


def price(nodes: Sequence[Node]) -> float:
    """What the devices cost together."""
    return sum(node.device.price for node in nodes)
