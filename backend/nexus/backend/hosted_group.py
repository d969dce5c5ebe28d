"""Sessions whose dispatches are batched together: one queue by deadline, one turn, one l(b).

Most groups are of one session. Several sessions of one model, which differ in their SLOs, share its
batches; so do the models of a prefix group, whose batch has a profile of its own (paper, section
6.3; nexus.md 2.6 and 2.8, weakness 9).
"""

from collections.abc import Sequence
from typing import NamedTuple

from nexus.backend import chunks, duty_cycle
from nexus.backend.begun import Begun
from nexus.backend.chunks import Chunk
from nexus.backend.deferral import Deferred
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import DispatchQueue, Queued
from nexus.backend.duty_cycle import Turn
from nexus.backend.early_drop import Window
from nexus.backend.hosted_session import HostedSession
from nexus.backend.latency_estimator import LatencyEstimator
from nexus.core.names import ModelName, SessionName
from nexus.core.units import US_PER_S

NOTHING = Window(0, 0, 0)


class GroupKey(NamedTuple):
    """Which dispatches share batches: those of one group in the plan that share a profile.

    A session that the plan puts into no group has one to itself; ``session`` is empty otherwise.
    """

    group: str
    profile: ModelName
    session: SessionName = ""


class HostedGroup:
    """``turn`` is the group as the duty cycle sees it, renewed when plan or profile change.

    ``batch_max`` is the largest batch that was profiled, ``look_us`` when something is to be done
    for what waits although nothing happens. ``begun`` holds what goes on in the group's next batch,
    where that is a chunk of about ``chunk_us`` (0: it is not); ``in_turn`` are those with whom its
    turn began then.
    """

    __slots__ = (
        "batch_max",
        "begun",
        "estimator",
        "in_turn",
        "key",
        "look_us",
        "members",
        "queue",
        "turn",
        "window_items",
    )

    def __init__(self, key: GroupKey, estimator: LatencyEstimator) -> None:
        """Start without members; ``renew`` once it has some."""
        self.key = key
        self.estimator = estimator
        self.members: dict[SessionName, HostedSession] = {}
        self.queue = DispatchQueue()
        self.begun: list[Begun] = []
        self.in_turn: set[DispatchKey] = set()
        self.look_us: int | None = None
        self.turn = Turn(self.queue.waiting, 1, 0, estimator.latencies_us)
        self.window_items = 1
        self.batch_max = estimator.profile.max_batch

    @property
    def resident(self) -> bool:
        """Whether any of its models can execute."""
        return any(session.model.resident for session in self.members.values())

    @property
    def chunk_us(self) -> int:
        """About how long its batches take that are chunks; 0: they are not."""
        return self.turn.chunk_us

    @property
    def items(self) -> int:
        """Items that wait or are being prepared."""
        return sum([session.items for session in self.members.values()])

    def renew(self, reply_us: int, early_us: int, *, draining: bool) -> None:
        """Take over what the plan says of the members; those that leave count only if all do."""
        sessions = [s for s in self.members.values() if not s.leaving]
        # A prefix group has a profile of its own, and no chunks: its models differ.
        whole = any(s.placement.model != self.key.profile for s in self.members.values())
        chunk_us = 0 if whole else max(s.model.chunk_us for s in self.members.values())
        # One that gets nothing more has nothing to wait for, and a local one never waits; nor does
        # one whom others can join later.
        waits = bool(sessions) and not draining and not chunk_us
        pooled = waits and all(s.pooled for s in sessions)
        sessions = sessions or list(self.members.values())
        self.turn = Turn(
            waiting=self.queue.waiting,
            batch=max(s.placement.batch for s in sessions),
            budget_us=min(_budget_us(session) for session in sessions) - reply_us,
            latencies_us=self.estimator.latencies_us,
            pooled=pooled,
            early_us=early_us + max(s.placement.slack_us for s in sessions),
            gap_us=_gap_us(sum(s.placement.rate for s in sessions)),
            even=all(s.placement.arrives_evenly for s in sessions),
            begun=self.begun,
            chunk_us=chunk_us,
        )
        self.window_items = duty_cycle.window_items(self.turn)
        self.batch_max = self.estimator.profile.max_batch

    def window(self, now_us: int, *, deferring: bool, alone: bool, behind_us: int = 0) -> Window:
        """``duty_cycle.window``, at once where nobody is late: as nearly always."""
        waiting = self.queue.waiting
        if not waiting:
            return NOTHING
        if not self.begun:
            taken, items = self.queue.prefix(self.window_items)
            if taken and now_us + self.turn.latencies_us[items] <= waiting[0].due_us:
                return Window(0, taken, items)
        return duty_cycle.window(
            self.turn, now_us, deferring=deferring, alone=alone, behind_us=behind_us
        )

    def start_us(self) -> int | None:
        """When the batch that waits starts on an idle device; None: at once."""
        if not self.turn.pooled:
            return None
        taken, items = self.queue.prefix(self.window_items)
        return duty_cycle.start_us(self.turn, taken, items)

    def deferred(self) -> Deferred | None:
        """The batch that waits here, if it is one that may wait."""
        if not self.turn.pooled or not self.queue.waiting:
            return None
        _, items = self.queue.prefix(self.window_items)
        return duty_cycle.deferred(self.turn, items)

    def expiry_us(self) -> int:
        """The first moment at which a dispatch cannot be in time even alone; something is here."""
        if not self.begun:
            return self.head_expiry_us()
        begun_us = min(chunks.expiry_us(one, self.turn.latencies_us) for one in self.begun)
        return min(begun_us, self.head_expiry_us()) if self.queue.waiting else begun_us

    def head_expiry_us(self) -> int:
        """The same of the most urgent dispatch that waits."""
        head = self.queue.waiting[0]
        return head.due_us - self.turn.latencies_us[head.items] + 1

    def waiting_us(self) -> int:
        """How long a turn would take, of what is here or of one that might come, as is planned."""
        items = max(1, min(self.queue.items + chunks.items_of(self.begun), self.turn.batch))
        return chunks.latency_of(self.turn.latencies_us, items)

    # Chunks.

    @property
    def goes_on(self) -> bool:
        """Whether its turn is not over: until all are finished with whom it began.

        So other sessions wait for no longer than for a whole batch.
        """
        return any(one.queued.key in self.in_turn for one in self.begun)

    def belated(self, now_us: int) -> list[Begun]:
        """Those that have begun, and will be late if they go on now."""
        return chunks.belated(self.begun, now_us, self.turn.latencies_us)

    def expired(self, free_us: int) -> list[Begun]:
        """Those that have begun, and will be late if they go on at ``free_us``, even alone."""
        latencies_us = self.turn.latencies_us
        return [one for one in self.begun if chunks.expiry_us(one, latencies_us) <= free_us]

    def begin(self, newcomers: Sequence[Queued], now_us: int) -> Chunk:
        """The next chunk: all that have begun, then the newcomers. See ``goes_on``."""
        begun = (*self.begun, *(Begun(queued) for queued in newcomers))
        self.begun.clear()
        if not self.in_turn:
            self.in_turn.update([one.queued.key for one in begun])
        return chunks.chunk_of(begun, now_us, self.chunk_us, self.turn.latencies_us)


def _budget_us(session: HostedSession) -> int:
    """What a dispatch of one item has for waiting and execution."""
    return session.placement.slo_us - session.preprocess_us - session.postprocess_us


def _gap_us(rate: float) -> float:
    return US_PER_S / rate if rate > 0 else US_PER_S
