"""The dispatches under way: timed, accounted for and closed, each exactly once."""

from nexus.core.names import BackendName
from nexus.core.request import DropReason, Outcome
from nexus.frontend.in_flight import SentDispatch
from nexus.frontend.timeouts import Timeouts

# The backend could not be in time although admission thought so.
_MISSED = (DropReason.DEADLINE, DropReason.LATE, DropReason.OVERLOADED, DropReason.QUEUE_FULL)


class OpenDispatches:
    """Every dispatch that waits for its reply; ``timeouts`` says when each is given up."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[int, SentDispatch] = {}
        self.timeouts = Timeouts(self._open)

    def open(self, sent: SentDispatch, timeout_us: int) -> None:
        """Wait for its reply until ``timeout_us``."""
        dispatch_id = sent.dispatch.id
        self._open[dispatch_id] = sent
        self.timeouts.note(timeout_us, dispatch_id)
        sent.parcel.request.dispatches.append(dispatch_id)

    def get(self, dispatch_id: int) -> SentDispatch | None:
        """The open dispatch of that id; None when it was closed before."""
        return self._open.get(dispatch_id)

    def on_backend(self, backend: BackendName) -> list[SentDispatch]:
        """What is open on one backend, in the order it was sent."""
        return [sent for sent in self._open.values() if sent.backend == backend]

    def close_replied(self, dispatch_id: int, outcome: Outcome, now_us: int) -> SentDispatch | None:
        """The backend replied: learn from it, and count the items back; None when not open."""
        sent = self._open.pop(dispatch_id, None)
        if sent is None:
            return None
        if not self._open:
            self.timeouts.clear()
        if sent.promised:
            _learn(sent, outcome, now_us)
        if sent.share is None or outcome.reason is not None:
            sent.released()
        else:
            sent.answered(sent.share, now_us)
        return sent

    def close(self, sent: SentDispatch) -> None:
        """Nobody waits for it any more."""
        del self._open[sent.dispatch.id]
        if not self._open:
            self.timeouts.clear()
        sent.released()

    def pop_overdue(self, now_us: int) -> tuple[SentDispatch, Outcome] | None:
        """The next dispatch to be given up at ``now_us``, and its outcome; it is still open."""
        dispatch_id = self.timeouts.pop_overdue(now_us)
        if dispatch_id is None:
            return None
        sent = self._open[dispatch_id]
        outcome = Outcome(
            reason=DropReason.DEADLINE,
            message=f"backend {sent.backend!r} did not answer in time",
        )
        if sent.promised:
            _learn(sent, outcome, now_us)
        return sent, outcome


def _learn(sent: SentDispatch, outcome: Outcome, now_us: int) -> None:
    """A promise of a local route was kept or missed; other failures teach nothing."""
    assert sent.share is not None, "pools promise nothing"
    missed = outcome.reason in _MISSED or now_us > sent.dispatch.deadline_us
    if missed or outcome.reason is None:
        sent.share.load.learn(in_time=not missed, sent_us=sent.sent_us, now_us=now_us)
