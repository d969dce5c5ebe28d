"""How many devices to ask for: more at once, fewer when nothing has needed them for a while."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nexus.core.cluster import BackendStatus
from nexus.core.names import DeviceType

Needs = Mapping[DeviceType, int]


@dataclass(frozen=True, slots=True)
class DemandedDevices:
    """What the plans of the last ``release_us`` needed, each with its time, oldest first."""

    needs: tuple[tuple[int, Needs], ...] = ()

    def after(
        self, needed: Needs, usable: Iterable[BackendStatus], now_us: int, release_us: int
    ) -> "DemandedDevices":
        """With another plan's need; the first is compared with the devices there are."""
        known = self.needs or ((now_us, dict(Counter(status.device for status in usable))),)
        recent = tuple(entry for entry in known if entry[0] > now_us - release_us)
        return DemandedDevices((*recent, (now_us, needed)))

    @property
    def wanted(self) -> dict[DeviceType, int]:
        """The most of each type that any of these plans needed."""
        types = sorted({device for _, needed in self.needs for device in needed})
        return {device: max(n.get(device, 0) for _, n in self.needs) for device in types}
