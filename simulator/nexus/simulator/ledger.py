"""The account of every request, and the checks that run beside a simulation.

Each request is answered exactly once, none counts as good after its deadline, every drop has a
reason, and no device works longer than the time that has passed. A broken rule raises
``LedgerError`` at the moment it is broken, with the seed's world still standing.
"""

from dataclasses import dataclass, field

from nexus.core.request import DropReason, Outcome
from nexus.core.units import US_PER_S


class LedgerError(AssertionError):
    """An invariant of the system does not hold: a defect, never an operating condition."""


@dataclass(slots=True)
class Account:
    """What became of the requests of one session or query; times in us.

    ``latencies_us`` are those of good answers. ``offered_by_second[s]`` and ``good_by_second[s]``
    count the requests that were sent in second ``s`` of the counted time.
    """

    offered: int = 0
    good: int = 0
    late: int = 0
    failed: int = 0
    dropped: dict[DropReason, int] = field(default_factory=dict)
    latencies_us: list[int] = field(default_factory=list)
    offered_by_second: list[int] = field(default_factory=list)
    good_by_second: list[int] = field(default_factory=list)

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


@dataclass(frozen=True, slots=True)
class _Open:
    owner: str
    sent_us: int
    deadline_us: int


class Ledger:
    """Opened by every arrival, closed by every answer."""

    def __init__(self, warmup_us: int = 0) -> None:
        """Requests before ``warmup_us`` are checked but not counted."""
        self.accounts: dict[str, Account] = {}
        self._open: dict[tuple[str, int], _Open] = {}
        self._warmup_us = warmup_us

    @property
    def unanswered(self) -> int:
        """Requests sent and not answered yet."""
        return len(self._open)

    def sent(
        self, frontend: str, request_id: int, owner: str, now_us: int, deadline_us: int
    ) -> None:
        """A request of a session or query (``owner``) enters a frontend."""
        key = (frontend, request_id)
        if key in self._open:
            raise LedgerError(f"request {key} was sent twice")
        self._open[key] = _Open(owner, now_us, deadline_us)

    def answered(self, frontend: str, request_id: int, outcome: Outcome, now_us: int) -> None:
        """A request ends."""
        request = self._open.pop((frontend, request_id), None)
        if request is None:
            raise LedgerError(f"request {frontend}/{request_id} was answered twice, or never sent")
        if outcome.ok and now_us > request.deadline_us:
            raise LedgerError(f"{request} was counted good {now_us - request.deadline_us} us late")
        if not outcome.ok and not outcome.message:
            raise LedgerError(f"{request} was dropped ({outcome.reason}) without a word why")
        if request.sent_us >= self._warmup_us:
            account = self.accounts.setdefault(request.owner, Account())
            _count(account, outcome, request, now_us)
            second = (request.sent_us - self._warmup_us) // US_PER_S
            _count_second(account, second, good=outcome.ok)

    def close(self) -> None:
        """The run is over, and every deadline with it: nothing may be open."""
        if self._open:
            first = next(iter(self._open.items()))
            raise LedgerError(f"{len(self._open)} requests were never answered; one is {first}")


def _count_second(account: Account, second: int, *, good: bool) -> None:
    while len(account.offered_by_second) <= second:
        account.offered_by_second.append(0)
        account.good_by_second.append(0)
    account.offered_by_second[second] += 1
    account.good_by_second[second] += good


def _count(account: Account, outcome: Outcome, request: _Open, now_us: int) -> None:
    account.offered += 1
    if outcome.reason is None:
        account.good += 1
        account.latencies_us.append(now_us - request.sent_us)
    elif outcome.reason is DropReason.LATE:
        account.late += 1
    elif outcome.reason is DropReason.ERROR:
        account.failed += 1
    else:
        account.dropped[outcome.reason] = account.dropped.get(outcome.reason, 0) + 1
