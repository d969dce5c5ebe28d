"""Which device a backend drives: ``cpu``, ``cuda:0`` or ``emulated:v100``."""

from dataclasses import dataclass
from enum import Enum

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import DeviceType, require_name


class DeviceKind(Enum):
    """What executes."""

    CPU = "cpu"
    CUDA = "cuda"
    EMULATED = "emulated"


@dataclass(frozen=True, slots=True)
class DeviceName:
    """A parsed ``--device``. ``type`` is what profiles and plans call it."""

    kind: DeviceKind
    type: DeviceType
    index: int = 0

    @property
    def torch_name(self) -> str:
        """The name torch knows it by."""
        return f"cuda:{self.index}" if self.kind is DeviceKind.CUDA else "cpu"


def parse_device(text: str) -> DeviceName:
    """Parse a ``--device``; raise InvalidArgumentError on anything else than the three forms."""
    kind, _, rest = text.partition(":")
    if text == "cpu":
        return DeviceName(DeviceKind.CPU, "cpu")
    if kind == "cuda" and (not rest or (rest.isascii() and rest.isdigit())):
        return DeviceName(DeviceKind.CUDA, "cuda", int(rest or 0))
    if kind == "emulated" and rest:
        require_name("device type", rest)
        return DeviceName(DeviceKind.EMULATED, rest)
    raise InvalidArgumentError(
        f"device {text!r} is not understood: use cpu, cuda:INDEX or emulated:TYPE, "
        "for example emulated:v100",
        reason="invalid_device",
    )
