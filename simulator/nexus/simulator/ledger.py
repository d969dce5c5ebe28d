"""The account of every request, and the checks that run beside a simulation.

Each request is answered exactly once, none counts as good after its deadline, every drop has a
reason and a word why. A broken rule raises ``LedgerError`` at the moment it is broken, with the
seed's world still standing. (That no device works on two batches at once is checked where devices
are.)
"""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

from nexus.core.request import DropReason, Outcome
from nexus.core.units import US_PER_S

BY_LOAD = frozenset(
    {
        DropReason.OVERLOADED,
        DropReason.QUEUE_FULL,
        DropReason.DEADLINE,
        DropReason.LATE,
        DropReason.UPSTREAM,
    }
)
"""Ends that too much load explains. The others say that something was not there, or failed."""


class LedgerError(AssertionError):
    """An invariant of the system does not hold: a defect, never an operating condition."""


@dataclass(slots=True)
class Account:
    """What became of the requests of one session or query; times in us.

    ``latencies_us`` are those of good answers, ``good_at_us`` when these requests were sent,
    ``broken_at_us`` those whose end load does not explain, and ``sent_at_us`` all, from the
    beginning of the counted time.
    """

    good: int = 0
    late: int = 0
    failed: int = 0
    dropped: dict[DropReason, int] = field(default_factory=dict)
    latencies_us: "array[int]" = field(default_factory=lambda: array("q"), repr=False)
    good_at_us: "array[int]" = field(default_factory=lambda: array("q"), repr=False)
    broken_at_us: "array[int]" = field(default_factory=lambda: array("q"), repr=False)
    sent_at_us: "array[int]" = field(default_factory=lambda: array("q"), repr=False)

    @property
    def offered(self) -> int:
        """Requests sent."""
        return len(self.sent_at_us)

    @property
    def bad(self) -> int:
        """Requests that ended otherwise than in time, so far."""
        return self.late + self.failed + sum(self.dropped.values())

    @property
    def good_fraction(self) -> float:
        """Share of all offered requests answered in time; 1 when none was offered."""
        return self.good / self.offered if self.offered else 1.0

    @property
    def admitted_good_fraction(self) -> float:
        """Share answered in time of those not refused at the door."""
        refused = self.dropped.get(DropReason.OVERLOADED, 0)
        refused += self.dropped.get(DropReason.QUEUE_FULL, 0)
        admitted = self.offered - refused
        return self.good / admitted if admitted else 1.0

    @property
    def offered_by_second(self) -> list[int]:
        """How many were sent in each second."""
        return _by_second(self.sent_at_us)

    @property
    def good_by_second(self) -> list[int]:
        """How many of those sent in each second were answered in time."""
        return _by_second(self.good_at_us)

    def good_fraction_between(self, from_us: int, until_us: int) -> float:
        """Share answered in time of those sent in [from_us, until_us); 1 when none was."""
        offered = sum(from_us <= at_us < until_us for at_us in self.sent_at_us)
        good = sum(from_us <= at_us < until_us for at_us in self.good_at_us)
        return good / offered if offered else 1.0


_Open: TypeAlias = tuple[Account, int, int, str]
"""Account, sent_us, deadline_us, frontend."""


class Ledger:
    """Opened by every arrival, closed by every answer. Request ids are unique in a run."""

    def __init__(self, counted_from_us: int = 0) -> None:
        """Requests before ``counted_from_us`` are checked but not counted."""
        self.accounts: dict[str, Account] = {}
        self.counted_from_us = counted_from_us
        self._open: dict[int, _Open] = {}
        self._uncounted = Account()

    @property
    def unanswered(self) -> int:
        """Requests sent and not answered yet."""
        return len(self._open)

    def sent(
        self, frontend: str, request_id: int, owner: str, now_us: int, deadline_us: int
    ) -> None:
        """A request of a session or query (``owner``) enters a frontend."""
        if request_id in self._open:
            raise LedgerError(f"request {request_id} was sent twice")
        if now_us >= self.counted_from_us:
            account = self.accounts.get(owner)
            if account is None:
                account = self.accounts[owner] = Account()
            account.sent_at_us.append(now_us - self.counted_from_us)
        else:
            account = self._uncounted
        self._open[request_id] = (account, now_us, deadline_us, frontend)

    def answered(self, frontend: str, request_id: int, outcome: Outcome, now_us: int) -> None:
        """A request ends."""
        entry = self._open.pop(request_id, None)
        if entry is None:
            raise LedgerError(f"request {request_id} was answered twice, or never sent")
        account, sent_us, deadline_us, sent_to = entry
        if sent_to != frontend:
            raise LedgerError(f"request {request_id} was answered by {frontend}, not {sent_to}")
        if outcome.reason is not None:
            _count_bad(account, request_id, outcome)
            if outcome.reason not in BY_LOAD:
                account.broken_at_us.append(sent_us - self.counted_from_us)
            return
        if now_us > deadline_us:
            raise LedgerError(
                f"request {request_id} was counted good {now_us - deadline_us} us late"
            )
        account.good += 1
        account.latencies_us.append(now_us - sent_us)
        account.good_at_us.append(sent_us - self.counted_from_us)

    def broken_off(self, frontend: str) -> int:
        """A frontend died, and its clients' connections with it: their requests failed.

        Returns how many there were.
        """
        lost = [id_ for id_, (_, _, _, sent_to) in self._open.items() if sent_to == frontend]
        for request_id in lost:
            account, sent_us, _, _ = self._open.pop(request_id)
            account.failed += 1
            account.broken_at_us.append(sent_us - self.counted_from_us)
        return len(lost)

    def close(self) -> None:
        """The run is over, and every deadline with it: nothing may be open."""
        if self._open:
            first, (_, sent_us, deadline_us, frontend) = next(iter(self._open.items()))
            raise LedgerError(
                f"{len(self._open)} requests were never answered; the first is {first}, sent to "
                f"{frontend} at {sent_us} us, due at {deadline_us} us"
            )
        for name, account in self.accounts.items():
            ends = account.good + account.bad
            if ends != account.offered:
                raise LedgerError(f"{name}: {account.offered} requests have {ends} ends")


def _count_bad(account: Account, request_id: int, outcome: Outcome) -> None:
    assert outcome.reason is not None
    if not outcome.message:
        raise LedgerError(f"request {request_id} was dropped ({outcome.reason}) without a word why")
    if outcome.reason is DropReason.LATE:
        account.late += 1
    elif outcome.reason is DropReason.ERROR:
        account.failed += 1
    else:
        account.dropped[outcome.reason] = account.dropped.get(outcome.reason, 0) + 1


def _by_second(times_us: "array[int]") -> list[int]:
    counts = Counter(at_us // US_PER_S for at_us in times_us)
    return [counts[second] for second in range(max(counts, default=-1) + 1)]
