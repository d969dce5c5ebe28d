"""One session as the engine keeps it: its placement, its model, and the group it is batched in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexus.backend.model_residency import HostedModel
from nexus.core.plan import Placement
from nexus.core.profile import Profile
from nexus.core.request import Dispatch

if TYPE_CHECKING:
    from nexus.backend.hosted_group import HostedGroup


@dataclass(slots=True, eq=False)
class HostedSession:
    """A placement and what is here of it.

    ``items`` counts those that are being prepared or wait for the device. ``leaving``: the plan no
    longer names it; what is here is finished, nothing new is taken.
    """

    placement: Placement
    model: HostedModel
    group: "HostedGroup"
    profile: Profile
    items: int = 0
    leaving: bool = False

    @property
    def pooled(self) -> bool:
        """Whether a pool's owner sends it here, one batch at a time."""
        return self.placement.pool is not None

    @property
    def around_us(self) -> int:
        """What pre- and postprocessing of one item take beside the device."""
        return self.profile.preprocess_us + self.profile.postprocess_us

    def due_us(self, dispatch: Dispatch, reply_us: int) -> int:
        """When the dispatch's batch must have left the device, to be answered in time."""
        return dispatch.deadline_us - dispatch.items * self.profile.postprocess_us - reply_us
