"""What a session of a pool may overspend before it counts as taking too much."""

import random

from nexus.frontend.entitlement import Entitlement

BATCH_US = 10_000
SECOND_US = 1_000_000


def spending(rate: float, share: float, batch_items: int) -> Entitlement:
    """An account after ten seconds of random batches, ``rate`` a second; debts stay."""
    draw = random.Random(3)
    account = Entitlement(share, BATCH_US, batch_items)
    now_us = 0
    for _ in range(int(10 * rate)):
        now_us += int(draw.expovariate(rate) * SECOND_US)
        account.earn(now_us)
        account.spend(BATCH_US)
        if account.in_debt:
            break
    return account


def test_entitlement_forgives_what_chance_overspends() -> None:
    share = 20 * BATCH_US / SECOND_US
    assert not spending(rate=20, share=share, batch_items=1).in_debt


def test_entitlement_sees_through_who_takes_twice_his_share() -> None:
    share = 20 * BATCH_US / SECOND_US
    assert spending(rate=40, share=share, batch_items=1).in_debt
    assert spending(rate=40, share=share, batch_items=64).in_debt


def test_entitlement_debt_ends_with_the_overload_that_made_it() -> None:
    account = Entitlement(0.2, BATCH_US)
    for _ in range(1000):
        account.spend(BATCH_US)
    account.earn(SECOND_US)
    assert not account.in_debt
