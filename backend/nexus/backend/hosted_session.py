"""One session as the engine keeps it: its placement, its model, and the group it is batched in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.backend.model_residency import HostedModel
from nexus.core.plan import Placement
from nexus.core.profile import Profile

if TYPE_CHECKING:
    from nexus.backend.hosted_group import HostedGroup


@dataclass(slots=True, eq=False)
class HostedSession:
    """A placement and what is here of it.

    ``items`` counts those that are being prepared or wait for the device. ``leaving``: the plan no
    longer names it; what is here is finished, nothing new is taken. ``taking``: its model can
    execute, and new dispatches are taken. ``preprocess_us`` and ``postprocess_us`` are of one item.
    """

    placement: Placement
    model: HostedModel
    group: "HostedGroup"
    profile: Profile
    items: int = 0
    leaving: bool = False
    taking: bool = False
    preprocess_us: int = 0
    postprocess_us: int = 0

    @property
    def pooled(self) -> bool:
        """Whether a pool's owner sends it here, one batch at a time."""
        return self.placement.pool is not None

    def renew(self, *, draining: bool) -> None:
        """Take over what plan and profile say, and whether the model is resident."""
        self.taking = self.model.resident and not (self.leaving or draining)
        self.preprocess_us = self.profile.preprocess_us
        self.postprocess_us = self.profile.postprocess_us
