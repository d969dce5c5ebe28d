"""A plan as the rows of a picture: which device does what in one duty cycle, in shares of it.

Up to ``ROWS_MAX`` devices get a row each. Beyond, devices that do the same share a row, and where
that is not enough, all devices of one type and pool do.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nexus.core.names import DeviceType, SessionName
from nexus.core.plan import BackendPlan, Placement, Plan
from nexus.core.units import ms_from_us

ROWS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A stretch of the duty cycle, from ``begin`` to ``end`` in 0..1.

    ``sessions`` are batched together: several where the placements have a ``group``.
    """

    sessions: tuple[SessionName, ...]
    begin: float
    end: float
    batch: int
    latency_ms: float
    rate: float
    spare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``count`` devices that do the same (or, averaged, about the same)."""

    label: str
    count: int
    duty_cycle_ms: float
    occupancy: float
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The rows of one device type and pool; ``pool`` is empty for local devices."""

    device: DeviceType
    pool: str
    rows: tuple[Row, ...]

    @property
    def devices(self) -> int:
        """How many devices the rows stand for."""
        return sum(row.count for row in self.rows)

    @property
    def occupancy(self) -> float:
        """Mean occupancy of the devices."""
        return sum(row.occupancy * row.count for row in self.rows) / max(1, self.devices)


@dataclass(frozen=True, slots=True)
class SessionCost:
    """What a session takes: devices' worth of execution time, and the rate that it gets for it."""

    session: SessionName
    devices: float
    rate: float


def sections_of(plan: Plan, rows_max: int = ROWS_MAX) -> tuple[Section, ...]:
    """The plan's devices in the order type, pools before local ones, then as planned."""
    grouped: dict[tuple[str, str], list[Row]] = {}
    numbers: Counter[DeviceType] = Counter()
    for backend in plan.backends:
        numbers[backend.device] += 1
        key = backend.device, _pool_of(backend)
        grouped.setdefault(key, []).append(_row(backend, numbers[backend.device]))
    sections = [
        Section(device=device, pool=pool, rows=tuple(rows))
        for (device, pool), rows in sorted(grouped.items(), key=_order)
    ]
    if _rows(sections) > rows_max:
        sections = [replace(section, rows=_alike(section.rows)) for section in sections]
    if _rows(sections) > rows_max:
        sections = [replace(section, rows=(_average(section.rows),)) for section in sections]
    return tuple(sections)


def session_costs(plan: Plan) -> tuple[SessionCost, ...]:
    """Every placed session's cost, the dearest first; a spare costs nothing until it is used."""
    devices: defaultdict[SessionName, float] = defaultdict(float)
    rates: defaultdict[SessionName, float] = defaultdict(float)
    for backend in plan.backends:
        for members in _together(backend.placements):
            idle = members[0].spare or not backend.duty_cycle_us
            share = 0.0 if idle else _busy_us(members) / backend.duty_cycle_us
            weights = _weights(members)
            for placement in members:
                devices[placement.session] += share * weights[placement.session]
                rates[placement.session] += placement.rate
    costs = (SessionCost(name, devices[name], rates[name]) for name in devices)
    return tuple(sorted(costs, key=lambda cost: (-cost.devices, cost.session)))


def _order(item: tuple[tuple[str, str], list[Row]]) -> tuple[str, bool, str]:
    (device, pool), _ = item
    return device, not pool, pool


def _rows(sections: Iterable[Section]) -> int:
    return sum(len(section.rows) for section in sections)


def _pool_of(backend: BackendPlan) -> str:
    return ", ".join(sorted({p.pool for p in backend.placements if p.pool is not None}))


def _row(backend: BackendPlan, number: int) -> Row:
    return Row(
        label=backend.backend or f"{backend.device} #{number}",
        count=1,
        duty_cycle_ms=ms_from_us(backend.duty_cycle_us),
        occupancy=backend.occupancy,
        slots=_slots(backend),
    )


def _slots(backend: BackendPlan) -> tuple[Slot, ...]:
    """One after the other; where the work exceeds the cycle, shrunk to fit it.

    Spares come last and share what is left: they execute only when they are needed.
    """
    members = _together(backend.placements)
    busy = [group for group in members if not group[0].spare]
    spare = [group for group in members if group[0].spare]
    cycle_us = max(1, backend.duty_cycle_us, sum(_busy_us(group) for group in busy))
    slots, end = [], 0.0
    for group in busy:
        begin, end = end, min(1.0, end + _busy_us(group) / cycle_us)
        slots.append(_slot(group, begin, end))
    left = (1.0 - end) / max(1, len(spare))
    for number, group in enumerate(spare):
        slots.append(_slot(group, end + number * left, min(1.0, end + (number + 1) * left)))
    return tuple(slots)


def _slot(group: Sequence[Placement], begin: float, end: float) -> Slot:
    return Slot(
        sessions=tuple(placement.session for placement in group),
        begin=begin,
        end=end,
        batch=sum(placement.batch for placement in group),
        latency_ms=ms_from_us(_busy_us(group)),
        rate=sum(placement.rate for placement in group),
        spare=group[0].spare,
    )


def _together(placements: Iterable[Placement]) -> list[list[Placement]]:
    """Placements that are batched together, each group where its first member stands."""
    groups: dict[object, list[Placement]] = {}
    for index, placement in enumerate(placements):
        key = (placement.group, placement.spare) if placement.group else index
        groups.setdefault(key, []).append(placement)
    return list(groups.values())


def _busy_us(group: Sequence[Placement]) -> int:
    """Time of one batch; members of a group are one batch, and each states its time."""
    return max(placement.latency_us for placement in group)


def _weights(group: Sequence[Placement]) -> Mapping[SessionName, float]:
    total = sum(placement.rate for placement in group)
    if not total:
        return {placement.session: 1 / len(group) for placement in group}
    return {placement.session: placement.rate / total for placement in group}


def _alike(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows that differ in nothing but their label, as one."""
    counts: dict[Row, int] = {}
    labels: dict[Row, str] = {}
    for row in rows:
        bare = replace(row, label="", count=1)
        labels.setdefault(bare, row.label)
        counts[bare] = counts.get(bare, 0) + row.count
    return tuple(
        replace(row, count=count, label=f"{count} devices" if count > 1 else labels[row])
        for row, count in counts.items()
    )


def _average(rows: Sequence[Row]) -> Row:
    """One row for many: every session's mean share of a cycle."""
    count = sum(row.count for row in rows)
    shares: defaultdict[tuple[SessionName, ...], float] = defaultdict(float)
    rates: defaultdict[tuple[SessionName, ...], float] = defaultdict(float)
    for row in rows:
        for slot in row.slots:
            if not slot.spare:
                shares[slot.sessions] += (slot.end - slot.begin) * row.count / count
                rates[slot.sessions] += slot.rate * row.count
    slots, end = [], 0.0
    for sessions, share in sorted(shares.items(), key=lambda item: (-item[1], item[0])):
        begin, end = end, min(1.0, end + share)
        slots.append(
            Slot(
                sessions=sessions,
                begin=begin,
                end=end,
                batch=0,
                latency_ms=0.0,
                rate=rates[sessions],
            )
        )
    return Row(
        label=f"{count} devices",
        count=count,
        duty_cycle_ms=sum(row.duty_cycle_ms * row.count for row in rows) / count,
        occupancy=sum(row.occupancy * row.count for row in rows) / count,
        slots=tuple(slots),
    )
