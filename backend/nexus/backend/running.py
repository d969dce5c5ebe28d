"""The batch on the device; where it is a chunk, with those who are in it (ADR 0028)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field

from nexus.backend.begun import Begun
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.events import Batch
from nexus.backend.latency_estimator import LatencyEstimator
from nexus.core.record import record
from nexus.core.request import Outcome


@record
class Running:
    """A batch, until ``end_us`` as is expected; ``estimator`` learns how long it took.

    ``begun`` are in the chunk, if it is one. Of these nobody wants the ``withdrawn`` any more: what
    they are answered at the chunk's end, if they are unfinished then; None: nobody listens.
    """

    batch: Batch
    estimator: LatencyEstimator
    started_us: int
    end_us: int
    begun: tuple[Begun, ...] = ()
    withdrawn: dict[DispatchKey, Outcome | None] = field(default_factory=dict)

    def withdraw(self, of: Callable[[DispatchKey], bool], outcome: Outcome | None) -> None:
        """Those of the chunk of these keys do not go on after it."""
        keys = (one.queued.key for one in self.begun)
        self.withdrawn.update({key: outcome for key in keys if of(key)})

    def whole_ended(self, now_us: int) -> None:
        """A whole batch has succeeded."""
        self.estimator.observe(self.batch.items, now_us - self.started_us, now_us)

    def chunk_ended(self, unfinished: Mapping[DispatchKey, float], now_us: int) -> Iterator[Begun]:
        """The chunk has succeeded: those that are unfinished, as they are now.

        l(b) is learnt from the others: from whole dispatches, with the company that they had.
        """
        took_us, items = now_us - self.started_us, self.batch.items
        for before in self.begun:
            key = before.queued.key
            one = before.after(took_us, items, unfinished.get(key, 0.0))
            if key in unfinished:
                yield one
            elif key not in self.withdrawn or self.withdrawn[key] is not None:
                self.estimator.observe(one.company, one.device_us, now_us)
