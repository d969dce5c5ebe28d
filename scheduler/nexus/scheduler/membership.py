"""Who and what an observation names, and what changed since the last one. Pure."""

from collections.abc import Mapping, Sequence

from nexus.core.cluster import BackendState, BackendStatus, Catalogue
from nexus.core.device import DeviceSpec
from nexus.core.names import BackendName, DeviceType
from nexus.scheduler.events import Observed


def usable_backends(observed: Observed) -> list[BackendStatus]:
    """The backends that a plan may use."""
    return [b for b in observed.backends if b.state is not BackendState.DRAINING]


def membership(observed: Observed) -> tuple[object, ...]:
    """What, when it changes, calls for a new plan at once."""
    return (
        observed.catalogue.version,
        tuple(
            (b.backend, b.incarnation, b.device, b.state is BackendState.DRAINING)
            for b in observed.backends
        ),
    )


def rolled_out_by(observed: Observed) -> tuple[object, ...]:
    """What of an observation the roll-out looks at: measurements and counts are no news to it."""
    backends = tuple(
        (b.backend, b.incarnation, b.address, b.state, b.memory_bytes, b.loaded, b.failed)
        for b in observed.backends
    )
    frontends = tuple((f.frontend, f.table_version) for f in observed.frontends)
    return (observed.catalogue, backends, frontends)


def lost(before: Observed, after: Observed) -> set[BackendName]:
    """The backends that could be used before and cannot now, restarted ones included."""

    def lives(observed: Observed) -> set[tuple[BackendName, int]]:
        return {(status.backend, status.incarnation) for status in usable_backends(observed)}

    return {name for name, _ in lives(before) - lives(after)}


def device_specs(
    usable: Sequence[BackendStatus],
    catalogue: Catalogue,
    prices: Mapping[DeviceType, float],
) -> tuple[DeviceSpec, ...]:
    """The live device types; with none alive, those there are profiles for, none of each."""
    by_type: dict[DeviceType, list[BackendStatus]] = {}
    for status in usable:
        by_type.setdefault(status.device, []).append(status)
    if not by_type:
        by_type = {profile.device: [] for profile in catalogue.profiles}
    return tuple(
        DeviceSpec(
            type=device,
            count=len(statuses),
            memory_bytes=min((s.memory_bytes for s in statuses if s.memory_bytes), default=0),
            price=prices.get(device, 1.0),
        )
        for device, statuses in sorted(by_type.items())
    )
