"""Profiles corrected by what backends measure: by how much a device is slower than its profile.

Only upwards and at most twofold: a profile that promises too much breaks SLOs, one that promises
too little merely wastes. A correction changes only when the measurements have clearly left it, so
that noise does not rattle plans.
"""

from collections.abc import Iterable
from dataclasses import replace
from statistics import median

from nexus.core.cluster import BackendStatus, Catalogue
from nexus.core.names import DeviceType, ModelName
from nexus.core.profile import Profile

FACTOR_MAX = 2.0
CHANGE_MIN = 0.10
"""Relative change of a factor below which the old one stays."""

Factors = dict[tuple[ModelName, DeviceType], float]


def updated_factors(
    factors: Factors, catalogue: Catalogue, backends: Iterable[BackendStatus]
) -> Factors:
    """The factors after another look at the backends' measurements."""
    ratios: dict[tuple[ModelName, DeviceType], list[float]] = {}
    for backend in backends:
        for measured in backend.measured:
            profile = catalogue.profile(measured.model, backend.device)
            if profile is not None and 1 <= measured.batch <= profile.max_batch:
                ratio = measured.latency_us / profile.latency_us(measured.batch)
                ratios.setdefault((measured.model, backend.device), []).append(ratio)
    updated = dict(factors)
    for key, values in ratios.items():
        factor = min(FACTOR_MAX, max(1.0, median(values)))
        known = factors.get(key, 1.0)
        if abs(factor - known) > CHANGE_MIN * known:
            updated[key] = factor
    return updated


def corrected(profile: Profile, factor: float) -> Profile:
    """The profile with every latency multiplied; the same object when there is nothing to do."""
    if factor == 1.0:
        return profile
    latencies = tuple(round(latency_us * factor) for latency_us in profile.latencies_us)
    return replace(profile, latencies_us=latencies)
