"""Where measured profiles are kept for the next run: by model *and* hardware.

A profile of another machine, another library version or another set of weights is worth nothing,
so all of them are part of the key.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from nexus.core.document import to_json
from nexus.core.model import Model
from nexus.core.profile import Profile
from nexus.profiler.catalogue import ProfileCatalogue
from nexus.profiler.measure import profile_model
from nexus.profiler.profiled_device import ProfiledDevice
from nexus.profiler.progress import OnProgress
from nexus.profiler.settings import ProfilerSettings


class ProfileCache:
    """The profiles of one device of this machine, measured when they are first wanted."""

    def __init__(self, root: Path, device: ProfiledDevice, settings: ProfilerSettings) -> None:
        """``root`` need not exist; ``settings`` say how carefully to measure."""
        self._root = root
        self._device = device
        self._settings = settings

    def find(self, model: Model) -> Profile | None:
        """The profile, if this model was measured on this hardware before."""
        measurement = self._folder(model).find(model.name, self._device.type)
        return None if measurement is None else measurement.profile()

    def measure(self, model: Model, on_progress: OnProgress) -> Profile:
        """Measure it now and keep the result."""
        measurement = profile_model(
            model, self._device, settings=self._settings, on_progress=on_progress
        )
        self._folder(model).save(measurement)
        return measurement.profile()

    def _folder(self, model: Model) -> ProfileCatalogue:
        circumstances = sorted(self._device.conditions.items())
        what = f"{self._device.hardware}\n{circumstances}\n{self._settings}\n"
        key = hashlib.sha256(what.encode() + to_json(model)).hexdigest()[:16]
        return ProfileCatalogue(self._root / key)


def default_cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """``~/.cache/nexus/profiles``, or below XDG_CACHE_HOME."""
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "nexus" / "profiles"
