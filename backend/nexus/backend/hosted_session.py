"""One session as the engine keeps it: its placement, its queue, its model."""

from dataclasses import dataclass, field

from nexus.backend.duty_cycle import Turn
from nexus.backend.model_residency import HostedModel
from nexus.backend.session_queue import SessionQueue
from nexus.core.plan import Placement
from nexus.core.request import Dispatch


@dataclass(slots=True)
class HostedSession:
    """A placement and its waiting work.

    ``preparing`` counts dispatches in the pool, ``preparing_items`` their items. ``leaving``: the
    plan no longer names it; what is here is finished, nothing new is taken.
    """

    placement: Placement
    model: HostedModel
    queue: SessionQueue = field(default_factory=SessionQueue)
    preparing: int = 0
    preparing_items: int = 0
    leaving: bool = False

    @property
    def items(self) -> int:
        """Items here that are not executing."""
        return self.queue.items + self.preparing_items

    @property
    def idle(self) -> bool:
        """Whether nothing of it waits."""
        return not self.queue and not self.preparing

    @property
    def batch_max(self) -> int:
        """The largest batch that was profiled."""
        return self.model.estimator.profile.max_batch

    def due_us(self, dispatch: Dispatch, reply_us: int) -> int:
        """When the dispatch's batch must have left the device, to be answered in time."""
        postprocess_us = dispatch.items * self.model.estimator.profile.postprocess_us
        return dispatch.deadline_us - postprocess_us - reply_us

    def preprocess_us(self, items: int) -> int:
        """What the profile says preparing so many items takes."""
        return items * self.model.estimator.profile.preprocess_us

    def latency_us(self, items: int) -> int:
        """l(items) as now estimated."""
        return self.model.estimator.latencies_us[items]

    def turn(self, reply_us: int, *, draining: bool = False) -> Turn:
        """The session as the duty cycle sees it."""
        profile = self.model.estimator.profile
        around_us = profile.preprocess_us + profile.postprocess_us + reply_us
        return Turn(
            waiting=self.queue.waiting,
            batch=self.placement.batch,
            budget_us=self.placement.slo_us - around_us,
            latencies_us=self.model.estimator.latencies_us,
            # A session that gets nothing more has nothing to wait for.
            pooled=self.placement.pool is not None and not (self.leaving or draining),
        )
