"""The declared profiles as the cluster runs by them: corrected by measurement, capped by the model.

One look-up for the planner (corrected and offline) and for the owners of pools, who must know how
long a batch really takes.
"""

from dataclasses import dataclass, field, replace

from nexus.core.cluster import Catalogue
from nexus.core.model import BATCH_LIMIT
from nexus.core.names import DeviceType, ModelName
from nexus.core.plan import Placement
from nexus.core.profile import Profile
from nexus.scheduler.correction import Factors, corrected


@dataclass(frozen=True, slots=True)
class MeasuredProfiles:
    """Profiles by model and device type; build it with ``profiles_of``.

    It is asked for the same few profiles once a session, so it keeps what it has worked out.
    """

    declared: dict[tuple[ModelName, DeviceType], Profile]
    factors: Factors
    batch_caps: dict[ModelName, int]
    _made: dict[tuple[ModelName, DeviceType, float, int], Profile] = field(
        default_factory=dict, compare=False, repr=False
    )

    def offline(self, model: ModelName, device: DeviceType) -> Profile | None:
        """As declared."""
        return self.declared.get((model, device))

    def measured(self, model: ModelName, device: DeviceType) -> Profile | None:
        """With every latency multiplied by what was measured on these devices."""
        return self._corrected(model, device, self.factors.get((model, device), 1.0))

    def of_placement(self, placement: Placement, device: DeviceType) -> Profile | None:
        """What a placement runs by, up to the largest batch that its model allows.

        The profile of its group, if there is one. Measured, unless that makes the SLO impossible:
        then, as for the planner, the profile as declared has the last word.
        """
        name = placement.group if (placement.group, device) in self.declared else None
        name = name or placement.model
        measured = self.measured(name, device)
        if measured is None:
            return None
        overhead_us = measured.preprocess_us + measured.postprocess_us
        if measured.latency_us(1) + overhead_us > placement.slo_us:
            measured = self.declared[name, device]
        factor = 1.0 if measured is self.declared[name, device] else self.factors[name, device]
        cap = self.batch_caps.get(placement.model, measured.max_batch)
        return self._corrected(name, device, factor, cap)

    def _corrected(
        self, model: ModelName, device: DeviceType, factor: float, cap: int = BATCH_LIMIT
    ) -> Profile | None:
        key = (model, device, factor, cap)
        profile = self._made.get(key) or self.declared.get((model, device))
        if profile is not None and key not in self._made:
            profile = corrected(profile, factor)
            if cap < profile.max_batch:
                profile = replace(profile, latencies_us=profile.latencies_us[:cap])
            self._made[key] = profile
        return profile


def profiles_of(catalogue: Catalogue, factors: Factors) -> MeasuredProfiles:
    """The profiles of a catalogue; ``factors`` are the corrections (correction.py)."""
    return MeasuredProfiles(
        declared={(profile.model, profile.device): profile for profile in catalogue.profiles},
        factors=factors,
        batch_caps={model.name: model.max_batch for model in catalogue.models},
    )
