"""How many replicas each set of backends should have: a pure decision (ADR 0017).

The scheduler says how many devices of each type the plan needs. Growing is done at once, since
requests are being refused meanwhile. Shrinking waits until the peak of the whole hold time is
lower: a device takes minutes to come back. A StatefulSet always removes its highest ordinal, so a
set is never made smaller than the highest one that the plan still uses.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import BackendName, DeviceType
from nexus.core.units import US_PER_S

SHRINK_HOLD_US = 300 * US_PER_S
REPLICAS_MAX = 1024
"""The most backends in one set when it names no limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSet:
    """A StatefulSet whose every pod is one device of one type; pods are ``NAME-ORDINAL``."""

    name: str
    device: DeviceType
    replicas: int
    replicas_min: int = 0
    replicas_max: int = REPLICAS_MAX

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError unless 0 <= min <= max."""
        if not 0 <= self.replicas_min <= self.replicas_max:
            raise InvalidArgumentError(
                f"StatefulSet {self.name!r}: replicas-min {self.replicas_min} and replicas-max "
                f"{self.replicas_max} must satisfy 0 <= min <= max",
                reason="invalid_replicas",
            )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The plan needed ``devices`` at ``at_us``."""

    at_us: int
    devices: int


History = Mapping[DeviceType, tuple[Wanted, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaDecision:
    """``replicas`` by set name; ``unmet`` devices that no set may provide; the next history."""

    replicas: Mapping[str, int]
    unmet: Mapping[DeviceType, int] = field(default_factory=dict)
    history: History = field(default_factory=dict)


def remember(past: tuple[Wanted, ...], latest: Wanted, hold_us: int) -> tuple[Wanted, ...]:
    """The past that can still be the peak of the hold time: each entry needs fewer than the last.

    Its length is therefore at most the number of devices, however often this is called.
    """
    fresh = (past_wanted for past_wanted in past if past_wanted.at_us > latest.at_us - hold_us)
    return (*(wanted for wanted in fresh if wanted.devices > latest.devices), latest)


def used_ordinals(set_name: str, backends: Iterable[BackendName]) -> list[int]:
    """Ordinals of the named backends that are pods of this set; other names are passed over."""
    prefix = f"{set_name}-"
    suffixes = (name.removeprefix(prefix) for name in backends if name.startswith(prefix))
    return sorted(int(suffix) for suffix in suffixes if suffix.isdecimal())


def decide_replicas(
    sets: Iterable[BackendSet],
    devices: Mapping[DeviceType, int],
    *,
    now_us: int,
    history: History | None = None,
    in_use: Collection[BackendName] = (),
    hold_us: int = SHRINK_HOLD_US,
) -> ReplicaDecision:
    """Replica counts that give every type the devices it needed at the peak of the hold time.

    Sets of one type are filled in the order of their names, each to its own limit.
    ``in_use`` names backends that the plan places sessions on.
    """
    types = {
        device: tuple(group)
        for device, group in groupby(sorted(sets, key=_by_type_and_name), key=lambda s: s.device)
    }
    replicas: dict[str, int] = {}
    unmet: dict[DeviceType, int] = {}
    next_history: dict[DeviceType, tuple[Wanted, ...]] = {}
    for device in sorted({*types, *devices}):
        latest = Wanted(now_us, devices.get(device, 0))
        past = remember((history or {}).get(device, ()), latest, hold_us)
        next_history[device] = past
        counts = _fill(types.get(device, ()), past[0].devices, in_use)
        replicas |= counts
        if (missing := latest.devices - sum(counts.values())) > 0:
            unmet[device] = missing
    return ReplicaDecision(replicas=replicas, unmet=unmet, history=next_history)


def _by_type_and_name(backend_set: BackendSet) -> tuple[DeviceType, str]:
    return backend_set.device, backend_set.name


def _fill(
    sets: tuple[BackendSet, ...], wanted: int, in_use: Collection[BackendName]
) -> dict[str, int]:
    """Give every set its floor, then the rest of ``wanted`` in order, each up to its limit."""
    counts = {one.name: _floor(one, in_use) for one in sets}
    missing = wanted - sum(counts.values())
    for one in sets:
        more = max(0, min(missing, one.replicas_max - counts[one.name]))
        counts[one.name] += more
        missing -= more
    return counts


def _floor(one: BackendSet, in_use: Collection[BackendName]) -> int:
    """The fewest replicas a set may have: its minimum, and the ordinals still in use.

    An operator who lowers the limit means it, so the limit wins over what is in use.
    """
    top = max((n for n in used_ordinals(one.name, in_use) if n < one.replicas), default=-1)
    return min(one.replicas_max, max(one.replicas_min, top + 1))
