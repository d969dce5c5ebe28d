"""A folder of profile files: ``DEVICE/MODEL.txt``, ours or in the original Nexus format."""

from pathlib import Path

from nexus.core.errors import DocumentError
from nexus.core.names import DeviceType, ModelName, require_name
from nexus.profiler.measurement import Measurement
from nexus.profiler.published import read_nexus_text
from nexus.profiler.text_format import FIRST_LINE, parse_profile, read_text, write_profile

SUFFIX = ".txt"


class ProfileCatalogue:
    """The profiles kept under one folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        """Nothing is read before it is asked for."""
        self.root = root

    def path(self, model: ModelName, device: DeviceType) -> Path:
        """Where the profile of a model on a device type is kept."""
        require_name("model", model)
        require_name("device", device)
        return self.root / device / f"{model}{SUFFIX}"

    def save(self, measurement: Measurement) -> Path:
        """Keep a measurement in place of an older one, and return its path."""
        path = self.path(measurement.model, measurement.device)
        write_profile(measurement, path)
        return path

    def find(self, model: ModelName, device: DeviceType) -> Measurement | None:
        """The profile of a model on a device type; None when there is none.

        Raises:
            DocumentError: The file is malformed, or is about another model or device.
        """
        path = self.path(model, device)
        return read_any(path, model=model, device=device) if path.exists() else None

    def load(self) -> tuple[Measurement, ...]:
        """Every profile, sorted by device and model; raise DocumentError at the first malformed."""
        paths = sorted(self.root.glob(f"*/*{SUFFIX}"))
        return tuple(read_any(path, model=path.stem, device=path.parent.name) for path in paths)


def read_any(path: Path, *, model: ModelName = "", device: DeviceType = "") -> Measurement:
    """Read a profile file in our format or in the original Nexus format.

    ``model`` and ``device``, when given, name what a file in the Nexus format is about, and must
    be what a file in our format says.

    Raises:
        NotFoundError: There is no such file.
        DocumentError: It is malformed, or about another model or device.
    """
    text = read_text(path)
    if not text.startswith(FIRST_LINE):
        return read_nexus_text(path, model=model, device=device)
    measurement = parse_profile(text, str(path))
    _require_same(path, "model", model, measurement.model)
    _require_same(path, "device", device, measurement.device)
    return measurement


def _require_same(path: Path, kind: str, wanted: str, found: str) -> None:
    if wanted and wanted != found:
        raise DocumentError(
            f"{path}: it is about the {kind} {found!r}, not {wanted!r}; rename or correct it",
            reason="malformed_profile",
        )
