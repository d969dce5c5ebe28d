"""Packing over a fleet of several device types, each with a count: who goes where, what is left.

A session prefers the type that serves it at the lowest price per throughput; what does not fit
there goes on to its next choice. When the fleet is too small the load is *squeezed*: all rates are
scaled down alike until everything fits, so that every session keeps a place with SLO-safe duty
cycles, then each device takes back as much as it can. What is left uncovered is reported, never
dropped silently: admission refuses it by name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from nexus.core.device import DeviceSpec
from nexus.core.names import DeviceType, SessionName
from nexus.scheduler.demand import Demand
from nexus.scheduler.node import Node, together
from nexus.scheduler.packing import pack_device
from nexus.scheduler.scaling_search import largest_scale

SQUEEZE_STEPS = 9
"""Bisections of the common factor: it is found to within 0.2 %, and what is missed stays idle."""
FACTOR_MIN = 1 / 128
GROW_STEPS = 4
RATE_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Choice:
    """A session and its demands by device type, cheapest first; never empty."""

    demands: tuple[Demand, ...]

    @property
    def name(self) -> SessionName:
        """The session's name."""
        return self.demands[0].name

    @property
    def rate(self) -> float:
        """The rate to cover, headroom included."""
        return self.demands[0].rate

    def on(self, device: DeviceType) -> Demand | None:
        """The demand on that device type, if the session can use it."""
        for demand in self.demands:
            if demand.profile.device == device:
                return demand
        return None

    def scaled(self, factor: float) -> "Choice":
        """The same choice at a share of its rate."""
        return Choice(tuple(demand.at_rate(demand.rate * factor) for demand in self.demands))


@dataclass(frozen=True, slots=True)
class Fleet:
    """The nodes in use, and how many more of each type the uncovered load would take."""

    nodes: tuple[Node, ...]
    missing: dict[DeviceType, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything fits the devices at hand."""
        return not self.missing


def pack_fleet(
    choices: Sequence[Choice],
    devices: Sequence[DeviceSpec],
    *,
    search: bool,
    opened: Sequence[Node] = (),
) -> Fleet:
    """Pack all choices; nodes beyond a type's count spill to the sessions' next choice.

    ``opened`` nodes are kept as they are and filled further.
    """
    types = {device.type: device for device in devices}
    nodes: dict[DeviceType, list[Node]] = {
        name: [node for node in opened if node.device.type == name] for name in types
    }
    by_name = {choice.name: choice for choice in choices}
    missing: dict[DeviceType, int] = {}
    waiting = [(choice.demands[0], 0) for choice in choices]
    depth = 0
    while waiting:
        spilled: list[Node] = []
        limited = within_replicas([demand for demand, _ in waiting], nodes.values())
        for name, device in types.items():
            mine = [demand for demand in limited if demand.profile.device == name]
            if mine:
                packed = pack_device(mine, device, search=search, opened=nodes[name])
                nodes[name], over = _within_count(packed, device, keep=len(nodes[name]))
                spilled += over
        depth += 1
        waiting = []
        for node in spilled:
            moved = [_next_choice(by_name, demand, depth) for demand in node.demands]
            waiting += [(demand, depth) for demand in moved if demand is not None]
            if None in moved:
                missing[node.device.type] = missing.get(node.device.type, 0) + 1
        waiting = _summed(waiting)
    if search and len(types) > 1:
        nodes = _on_cheaper(nodes, types, by_name, frozenset(map(id, opened)))
    return Fleet(tuple(node for name in types for node in nodes[name]), missing)


def _on_cheaper(
    nodes: Mapping[DeviceType, Sequence[Node]],
    types: Mapping[DeviceType, DeviceSpec],
    choices: Mapping[SessionName, Choice],
    staying: AbstractSet[int],
) -> dict[DeviceType, list[Node]]:
    """The nodes on cheaper devices that are left, where one of these can do the same.

    A type's price per throughput is that of a device in full use; the last, half empty device of a
    type may be dearer than a small one. Nodes whose ids are ``staying`` stay.
    """
    by_price = sorted(types.values(), key=lambda device: (device.price, device.type))
    counts = {name: len(mine) for name, mine in nodes.items()}
    placed: dict[DeviceType, list[Node]] = {name: [] for name in types}
    for node in (node for mine in nodes.values() for node in mine):
        cheaper = (
            device
            for device in (by_price if id(node) not in staying else ())
            if device.price < node.device.price
            and (device.count is None or counts[device.type] < device.count)
        )
        moved = (found for device in cheaper if (found := _on(device, node, choices)) is not None)
        found = next(moved, node)
        counts[node.device.type] -= 1
        counts[found.device.type] += 1
        placed[found.device.type].append(found)
    return placed


def _on(device: DeviceSpec, node: Node, choices: Mapping[SessionName, Choice]) -> Node | None:
    """All that a node does on a device of another type, or None."""
    demands = [
        other.at_rate(demand.rate)
        for demand in node.demands
        if (other := choices[demand.name].on(device.type)) is not None
    ]
    return together(tuple(demands), device) if len(demands) == len(node.demands) else None


def squeeze(choices: Sequence[Choice], devices: Sequence[DeviceSpec], *, search: bool) -> Fleet:
    """The best that a fleet which is too small can do for everyone; see the module docstring.

    Sessions that find no room even at a trickle (memory, or SLOs too tight to share) are left out.
    """
    trickle = pack_fleet([c.scaled(FACTOR_MIN) for c in choices], devices, search=search)
    if not trickle.complete:
        placed = {demand.name for node in trickle.nodes for demand in node.demands}
        choices = [choice for choice in choices if choice.name in placed]
        trickle = pack_fleet([c.scaled(FACTOR_MIN) for c in choices], devices, search=search)
        whole = pack_fleet(choices, devices, search=search)
        if whole.complete:
            return whole

    def complete_at(factor: float) -> Fleet | None:
        fleet = pack_fleet([c.scaled(factor) for c in choices], devices, search=search)
        return fleet if fleet.complete else None

    factor, best = largest_scale(complete_at, FACTOR_MIN, 1.0, trickle, steps=SQUEEZE_STEPS)
    return Fleet(tuple(_grown(node, 1 / factor) for node in best.nodes))


def covered(nodes: Iterable[Node]) -> dict[SessionName, float]:
    """The rate that the nodes cover, by session."""
    rates: dict[SessionName, float] = {}
    for node in nodes:
        for demand in node.demands:
            name = demand.session.name
            rates[name] = rates.get(name, 0.0) + demand.rate
    return rates


def within_replicas(demands: Sequence[Demand], nodes: Iterable[Sequence[Node]]) -> list[Demand]:
    """The demands at no more than what the devices do that their sessions may have besides.

    ``nodes`` are the devices that there are already, by type.
    """
    limited = {demand.name for demand in demands if demand.session.replicas_max}
    if not limited:
        return list(demands)
    present = Counter(demand.name for mine in nodes for node in mine for demand in node.demands)
    kept = []
    for demand in demands:
        most = demand.rate
        if demand.name in limited:
            left = demand.session.replicas_max - present[demand.name]
            most = min(most, left * demand.throughput)
        if most > 0:
            kept.append(demand.at_rate(most))
    return kept


def replicas_reason(choice: Choice, placed: float) -> str:
    """Why only the rate ``placed`` of a session is served, where it is for its own limit."""
    limit = choice.demands[0].session.replicas_max
    if not limit or placed >= choice.rate * (1 - RATE_EPSILON):
        return ""
    return f"replicas_max {limit}: so many devices do {placed:.1f}/s of {choice.rate:.1f}/s"


def covered_sessions(nodes: Iterable[Node]) -> dict[SessionName, float]:
    """The rate that the nodes cover, by session; those batched together each for itself."""
    different: dict[int, tuple[Node, int]] = {}
    for node in nodes:  # The members of a pool are one node.
        different[id(node)] = (node, different.get(id(node), (node, 0))[1] + 1)
    rates: dict[SessionName, float] = {}
    for node, count in different.values():
        for demand in node.demands:
            rate = count * demand.rate
            if not demand.parts:
                name = demand.session.name
                rates[name] = rates.get(name, 0.0) + rate
            for session, share in demand.parts:
                rates[session.name] = rates.get(session.name, 0.0) + rate * share
    return rates


def _within_count(
    nodes: list[Node], device: DeviceSpec, *, keep: int
) -> tuple[list[Node], list[Node]]:
    """The nodes there are devices for, and the rest; the first ``keep`` and the fullest stay."""
    if device.count is None or len(nodes) <= device.count:
        return nodes, []
    ranked = nodes[:keep] + sorted(nodes[keep:], key=lambda node: -node.occupancy)
    return ranked[: device.count], ranked[device.count :]


def _next_choice(by_name: dict[SessionName, Choice], demand: Demand, depth: int) -> Demand | None:
    choice = by_name.get(demand.name)
    if choice is None:
        return None  # It came with an opened node, of more than there are devices for now.
    later = choice.demands[depth:]
    return later[0].at_rate(demand.rate) if later else None


def _summed(waiting: list[tuple[Demand, int]]) -> list[tuple[Demand, int]]:
    """One demand a session and type: shares spilled from several devices travel together."""
    summed: dict[tuple[SessionName, DeviceType], tuple[Demand, int]] = {}
    for demand, depth in waiting:
        key = (demand.name, demand.profile.device)
        rate = demand.rate + (summed[key][0].rate if key in summed else 0.0)
        summed[key] = (demand.at_rate(rate), depth)
    return list(summed.values())


def _grown(node: Node, factor_max: float) -> Node:
    """The node with all its rates raised alike as far as it goes, at most by ``factor_max``."""

    def at(factor: float) -> Node | None:
        demands = tuple(demand.at_rate(demand.rate * factor) for demand in node.demands)
        return together(demands, node.device, node.duty_cycle_us)

    return largest_scale(at, 1.0, factor_max, node, steps=GROW_STEPS)[1]
