"""Sessions of one group of a pool fill one batch together, by the earliest of their deadlines."""

from dataclasses import replace

from nexus.core.request import Outcome
from nexus.core.routing import PooledSession
from nexus.frontend.member_timeline import Started
from nexus.frontend.pool_owner import PoolOwner
from tests.frontend.pool_bench import pool, session

TIGHT = replace(session("m@30ms", 1, 5, 30, batch=4, rate=100), group="m")
LOOSE = replace(TIGHT, session="m@90ms", slo_us=90_000)
OTHER = session("other", 1, 5, 200, rate=1)


def owner_of(*sessions: PooledSession) -> PoolOwner:
    return PoolOwner(pool(1, *sessions, OTHER), ["b0"], travel_us=0)


def placed(owner: PoolOwner, *sessions: PooledSession) -> PoolOwner:
    for one in sessions:
        assert owner.place(one.session, 1, one.slo_us, 0) == "b0"
    return owner


def busy_us(owner: PoolOwner, now_us: int = 0) -> int:
    """How long the backend has to do, as the owner reckons."""
    expected_us = owner.expected_us(OTHER.session, now_us)
    assert expected_us is not None
    return expected_us - owner.unloaded_us(OTHER.session)


def test_pool_group_fills_one_batch_of_all_its_sessions() -> None:
    owner = placed(owner_of(TIGHT, LOOSE), TIGHT, LOOSE, LOOSE, TIGHT)
    assert busy_us(owner) == TIGHT.latencies_us[3], "a batch of four, at once"
    apart = owner_of(replace(TIGHT, group=None), replace(LOOSE, group=None))
    assert busy_us(placed(apart, TIGHT, LOOSE, LOOSE, TIGHT)) > 2 * TIGHT.latencies_us[1]


def test_pool_group_goes_by_the_earliest_deadline_in_the_batch() -> None:
    mixed, tight = owner_of(TIGHT, LOOSE), owner_of(replace(TIGHT, rate=200))
    assert busy_us(placed(mixed, LOOSE, TIGHT)) == busy_us(placed(tight, TIGHT, TIGHT))


def test_pool_group_learns_of_its_batch_by_any_of_its_sessions() -> None:
    owner = placed(owner_of(TIGHT, LOOSE), LOOSE, TIGHT)
    owner.batch_started("b0", LOOSE.session, Started(items=2, busy_us=7_000), 10)
    assert busy_us(owner, 10) == 7_000, "nothing else waits there"


def test_pool_group_keeps_a_batch_open_that_one_of_its_sessions_is_too_urgent_for() -> None:
    owner = owner_of(TIGHT, LOOSE)
    owner.batch_started("b0", OTHER.session, Started(items=1, busy_us=40_000), 0)
    placed(owner, LOOSE)
    assert isinstance(owner.place(TIGHT.session, 1, TIGHT.slo_us, 0), Outcome)
    placed(owner, LOOSE, LOOSE, LOOSE)
    assert busy_us(owner) == 40_000 + LOOSE.latencies_us[3], "one batch of four all the same"
