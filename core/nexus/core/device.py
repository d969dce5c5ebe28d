"""Devices the planner may use."""

from dataclasses import dataclass

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import DeviceType


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """A device type, how many there are (None: as many as needed), and the memory of one.

    ``memory_bytes`` 0 means unlimited; ``price`` orders types when several can serve a session.
    """

    type: DeviceType
    count: int | None = None
    memory_bytes: int = 0
    price: float = 1.0

    def __post_init__(self) -> None:
        """Raise InvalidArgumentError on negative counts, memory or price."""
        if (self.count is not None and self.count < 0) or self.memory_bytes < 0 or self.price < 0:
            raise InvalidArgumentError(
                f"device {self.type!r}: count, memory and price must not be negative",
                reason="invalid_device",
            )
