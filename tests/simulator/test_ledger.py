"""The checks beside the simulation find what they are for."""

import pytest

from nexus.core.request import DropReason, Outcome, dropped
from nexus.simulator.ledger import Ledger, LedgerError


def opened(ledger: Ledger) -> Ledger:
    ledger.sent("f", 1, "m@1ms", 0, 1_000)
    return ledger


def test_ledger_counts_every_end_once() -> None:
    ledger = Ledger()
    ends = [Outcome(), dropped(DropReason.LATE), dropped(DropReason.OVERLOADED)]
    for number, outcome in enumerate([*ends, dropped(DropReason.ERROR, "boom")]):
        ledger.sent("f", number, "m", 0, 1_000)
        ledger.answered("f", number, outcome, 700)
    ledger.close()
    account = ledger.accounts["m"]
    assert (account.offered, account.good, account.late, account.failed) == (4, 1, 1, 1)
    assert account.dropped == {DropReason.OVERLOADED: 1}
    assert list(account.latencies_us) == [700]
    assert account.good_fraction == pytest.approx(1 / 4)
    assert account.admitted_good_fraction == pytest.approx(1 / 3)


def test_ledger_finds_a_request_answered_twice() -> None:
    ledger = opened(Ledger())
    ledger.answered("f", 1, Outcome(), 5)
    with pytest.raises(LedgerError, match="answered twice"):
        ledger.answered("f", 1, Outcome(), 6)


def test_ledger_finds_a_request_never_answered() -> None:
    with pytest.raises(LedgerError, match="1 requests were never answered"):
        opened(Ledger()).close()


def test_ledger_finds_a_late_answer_called_good() -> None:
    with pytest.raises(LedgerError, match="counted good 1 us late"):
        opened(Ledger()).answered("f", 1, Outcome(), 1_001)


def test_ledger_finds_a_drop_without_a_word() -> None:
    with pytest.raises(LedgerError, match="without a word"):
        opened(Ledger()).answered("f", 1, Outcome(reason=DropReason.DEADLINE), 5)


def test_ledger_does_not_count_the_warm_up_but_checks_it() -> None:
    ledger = opened(Ledger(counted_from_us=100))
    ledger.answered("f", 1, Outcome(), 5)
    ledger.close()
    assert ledger.accounts == {}
