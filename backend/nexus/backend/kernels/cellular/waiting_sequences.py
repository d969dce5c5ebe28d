"""The sequences that have steps to execute and no slot, the earliest deadline first."""

from bisect import bisect_left, insort

from nexus.backend.kernels.cellular.sequence import NEVER_US, Sequence


class WaitingSequences:
    """A queue by deadline, that also knows who must start soonest to be in time."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_due: list[tuple[int, int, Sequence]] = []
        self._by_latest: list[tuple[int, int, Sequence]] = []

    def __len__(self) -> int:
        """How many wait."""
        return len(self._by_due)

    @property
    def latest_us(self) -> int:
        """The first moment at which one of them can no longer start in time; NEVER_US: none."""
        return self._by_latest[0][0] if self._by_latest else NEVER_US

    def push(self, sequence: Sequence) -> None:
        """One waits; its ``due_us`` and ``latest_us`` stay as they are while it does."""
        insort(self._by_due, (sequence.due_us, sequence.order, sequence))
        if sequence.latest_us < NEVER_US:
            insort(self._by_latest, (sequence.latest_us, sequence.order, sequence))

    def pop(self) -> Sequence:
        """The one with the earliest deadline; the first come of equals."""
        sequence = self._by_due.pop(0)[2]
        if sequence.latest_us < NEVER_US:
            _remove(self._by_latest, sequence.latest_us, sequence)
        return sequence

    def pop_late(self, now_us: int) -> list[Sequence]:
        """Those who can no longer be in time, however soon they start."""
        late = []
        while self.latest_us < now_us:
            late.append(self._by_latest[0][2])
            self.remove(late[-1])
        return late

    def remove(self, sequence: Sequence) -> None:
        """One that waits no longer waits."""
        _remove(self._by_due, sequence.due_us, sequence)
        if sequence.latest_us < NEVER_US:
            _remove(self._by_latest, sequence.latest_us, sequence)


def _remove(queue: list[tuple[int, int, Sequence]], at_us: int, sequence: Sequence) -> None:
    index = bisect_left(queue, (at_us, sequence.order))
    assert queue[index][2] is sequence, sequence.key
    del queue[index]
