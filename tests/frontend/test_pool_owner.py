"""The owner of a pool: what it keeps of the hard limit, whom it refuses, what it learns."""

from dataclasses import replace

import pytest

from nexus.core.request import DropReason, Outcome
from nexus.frontend.batch_latencies import BatchLatencies
from nexus.frontend.member_timeline import Started
from nexus.frontend.pool_batch import PoolBatch
from nexus.frontend.pool_owner import PoolOwner
from tests.frontend.pool_bench import (
    Arrival,
    Bench,
    hard_limit,
    poisson,
    pool,
    session,
    staggered_batch,
    with_batch,
)

PROFILES = {"25ms": (1.053, 5.072, 25.0), "50ms": (0.75, 7.96, 50.0), "100ms": (1.0, 25.0, 100.0)}


def owner_of(members: int = 3, batch: int = 4, spares: int = 0) -> PoolOwner:
    """l(b) = 2 b + 10 ms, SLO 50 ms."""
    what = pool(members, session("s", 2.0, 10.0, 50.0, batch=batch, rate=1_000.0), spares=spares)
    return PoolOwner(what, [member.backend for member in what.members], travel_us=0)


def place(owner: PoolOwner, count: int, now_us: int = 0, slo_us: int = 50_000) -> list[str]:
    placed = [owner.place("s", 1, now_us + slo_us, now_us) for _ in range(count)]
    return [p if isinstance(p, str) else str(p.reason) for p in placed]


def load(profile: str, members: int, share: float, cv: float = 1.0) -> tuple[float, float]:
    """The share in time, and goodput as a share of the hard limit, at ``share`` of it."""
    one = session("s", *PROFILES[profile])
    limit = hard_limit(one, members)
    one = with_batch(one, staggered_batch(one, members), limit)
    rate = share * limit
    run = Bench(pool(members, one)).play(poisson("s", rate, 25_000 / rate, 1, cv))
    return run.share("s"), run.goodput("s") / limit


@pytest.mark.parametrize(
    ("profile", "members", "share"),
    [
        ("25ms", 8, 0.89),
        ("50ms", 8, 0.93),
        ("100ms", 8, 0.92),
        ("25ms", 32, 0.96),
        ("50ms", 32, 0.97),
        ("100ms", 32, 0.96),
    ],
)
def test_pool_owner_keeps_most_of_the_hard_limit(profile: str, members: int, share: float) -> None:
    in_time, _ = load(profile, members, share)
    assert in_time >= 0.99


@pytest.mark.parametrize("profile", PROFILES)
def test_pool_owner_overload_keeps_the_goodput_of_capacity(profile: str) -> None:
    _, at_capacity = load(profile, 8, 1.0)
    _, at_twice = load(profile, 8, 2.0)
    assert at_twice >= 0.95 * at_capacity


def test_pool_owner_takes_bursts_between_quiet_times() -> None:
    # Round-robin with early drop keeps 0.54 here (nexus.md 4: 3265 of 5993 items/s).
    in_time, _ = load("25ms", 8, 1.2 * 0.545, cv=3.0)
    assert in_time >= 0.99


def test_pool_owner_reserves_what_execution_times_vary_by() -> None:
    one = session("s", *PROFILES["50ms"])
    one = with_batch(one, 45, 5_000.0)
    # The profile is two standard deviations above the mean, as profiles are.
    bench = Bench(pool(8, one), jitter=0.02, speed=0.96)
    run = bench.play(poisson("s", 0.85 * hard_limit(one, 8), 3.0, 1))
    assert run.share("s") >= 0.99


def three(loads: tuple[float, float, float], seconds: float = 3.0) -> tuple[list[float], float]:
    """Three like sessions offered so much of what each is planned at: what each gets of it."""
    one = session("", *PROFILES["50ms"])
    planned = 0.8 * hard_limit(one, 8) / 3
    sessions = [replace(with_batch(one, 39, planned), session=name) for name in "abc"]
    arrivals: list[Arrival] = []
    for seed, (name, part) in enumerate(zip("abc", loads, strict=True)):
        arrivals += poisson(name, part * planned, seconds, seed)
    bench = Bench(pool(8, *sessions))
    run = bench.play(arrivals)
    busy = sum(run.busy_us.values()) / (8 * run.until_us)
    return [run.goodput(name) / planned for name in "abc"], busy


def test_pool_owner_starves_nobody_in_an_overload() -> None:
    got, busy = three((3.0, 3.0, 3.0))
    assert min(got) >= 1.0
    assert busy >= 0.97


def test_pool_owner_leaves_everyone_his_share_when_one_wants_it_all() -> None:
    got, busy = three((6.0, 0.95, 0.95))
    assert min(got[1:]) >= 0.98 * 0.95
    assert got[0] >= 1.0
    assert busy >= 0.9


def test_pool_owner_lends_what_others_leave_idle() -> None:
    got, _ = three((6.0, 0.2, 0.2))
    assert got[0] >= 1.9
    assert min(got[1:]) >= 0.98 * 0.2


def test_pool_owner_short_deadlines_get_their_share_of_devices_held_by_long_ones() -> None:
    short, long = session("short", *PROFILES["25ms"]), session("long", *PROFILES["100ms"])
    short = with_batch(short, 12, 0.4 * hard_limit(short, 8))
    long = with_batch(long, 50, 0.4 * hard_limit(long, 8))
    arrivals = poisson("short", 2 * short.rate, 3.0, 1) + poisson("long", 2 * long.rate, 3.0, 2)
    run = Bench(pool(8, short, long)).play(arrivals)
    assert run.goodput("short") >= 0.8 * short.rate
    assert run.goodput("long") >= 1.0 * long.rate


def test_pool_owner_fills_one_backend_after_another_in_their_order() -> None:
    assert place(owner_of(), 10) == ["b0"] * 4 + ["b1"] * 4 + ["b2"] * 2


def test_pool_owner_leaves_unused_what_is_not_needed() -> None:
    owner = owner_of()
    for now_us in range(0, 1_000_000, 60_000):
        # The one before has run by then, and the first is free again.
        assert place(owner, 4, now_us) == ["b0"] * 4


def test_pool_owner_takes_a_spare_only_when_the_others_are_late() -> None:
    # 18 ms a batch of four: each device takes two more within 50 ms, and the third is in vain.
    assert place(owner_of(members=2, spares=1), 16) == ["b0"] * 8 + ["b1"] * 8


def test_pool_owner_takes_a_spare_where_others_might_get_in_the_way() -> None:
    # The member has done its first batch at 18 ms; alone, a second is in time by 50 - 18 = 32 ms.
    # With 15 ms of slack it must be free by 17 ms to be surely so.
    one = replace(session("s", 2.0, 10.0, 50.0, batch=4, rate=1_000.0), slack_us=15_000)
    for spares, second in ((0, "b0"), (1, "b1")):
        what = pool(1 + spares, one, spares=spares)
        owner = PoolOwner(what, [member.backend for member in what.members], travel_us=0)
        assert place(owner, 8) == ["b0"] * 4 + [second] * 4


def test_pool_batch_takes_more_until_its_head_would_be_late() -> None:
    # l(b) = 2 b + 10 ms, and the head is due at 50 ms.
    latencies = BatchLatencies([12_000, 14_000, 16_000, 18_000], target=4)
    batch = PoolBatch("s", "b0", latencies, 1, 50_000, start_us=0, ready_us=0, planned_items=4)
    assert batch.starts_us(free_us=0) == 36_000  # Deferred to its last moment, ...
    assert batch.starts_us(free_us=40_000) == 40_000  # ... or until the device is free.
    assert batch.takes(1, 60_000, there_us=36_000)
    assert not batch.takes(1, 60_000, there_us=36_001)
    assert not batch.takes(1, 49_999, there_us=36_000)
    assert not batch.takes(4, 60_000, there_us=0)
    batch.start_us = 37_000
    assert not batch.takes(1, 60_000, there_us=0)
    batch.close(40_000)
    assert batch.starts_us(free_us=0) == 36_000
    assert batch.ends_us(free_us=0) == 48_000
    assert not batch.takes(1, 60_000, there_us=0)


def test_batch_latencies_of_an_uneven_profile() -> None:
    latencies = BatchLatencies([6, 14, 13, 20], target=9)
    assert latencies.target == latencies.most == 4
    assert [latencies.of(b) for b in (1, 2, 3, 4, 7)] == [6, 14, 14, 20, 20]
    assert latencies.largest_within(14, gap_us=0) == 3
    assert latencies.largest_within(14, gap_us=3) == 1
    assert latencies.largest_within(5, gap_us=0) == 1
    assert latencies.good_enough(4, 0.97) == 3
    assert latencies.good_enough(4, 0.70) == 1


def test_pool_owner_refusal_says_what_is_expected() -> None:
    owner = owner_of(members=1)
    refused = next(
        placed
        for placed in (owner.place("s", 1, 50_000, 0) for _ in range(100))
        if isinstance(placed, Outcome)
    )
    assert refused.reason is DropReason.OVERLOADED
    assert refused.expected_wait_us > 30_000
    assert refused.retry_after_us > 0
    late = owner.place("s", 1, 10_000, 0)
    assert isinstance(late, Outcome)
    assert late.reason is DropReason.DEADLINE


def test_pool_owner_without_backends_has_no_route() -> None:
    owner = owner_of(members=1)
    owner.lost("b0")
    assert place(owner, 1) == ["DropReason.NO_ROUTE"]
    owner.found("b0")
    assert place(owner, 1) == ["b0"]


def test_pool_owner_forgets_a_lost_backend_and_what_it_had() -> None:
    owner = owner_of()
    assert place(owner, 2) == ["b0"] * 2
    owner.lost("b0")
    assert place(owner, 2) == ["b1"] * 2
    owner.found("b0")
    assert place(owner, 4) == ["b1"] * 2 + ["b0"] * 2


def test_pool_owner_avoids_who_just_refused() -> None:
    owner = owner_of()
    assert place(owner, 1) == ["b0"]
    assert owner.place("s", 1, 50_000, 0, avoid="b0") == "b1"


def test_pool_owner_goes_by_what_a_backend_says_it_started() -> None:
    owner = owner_of(members=2)
    assert place(owner, 4) == ["b0"] * 4
    # Slower than its profile: it will be busy for longer than the batch after next can wait.
    owner.batch_started("b0", "s", Started(4, 45_000), 1_000)
    assert place(owner, 12, now_us=1_000) == ["b1"] * 8 + ["DropReason.OVERLOADED"] * 4


def test_pool_owner_counts_what_missed_its_batch() -> None:
    owner = owner_of(members=1, batch=4)
    assert place(owner, 4) == ["b0"] * 4
    owner.batch_started("b0", "s", Started(4, 18_000), 0)
    free_us = owner.expected_us("s", 0)
    owner.batch_started("b0", "s", Started(4, 18_000, queued_items=4), 0)
    assert free_us is not None
    assert owner.expected_us("s", 0) == free_us + 18_000


def test_pool_owner_follows_a_new_table() -> None:
    owner = owner_of(members=2)
    assert place(owner, 1) == ["b0"]
    what = pool(3, session("s", 2.0, 10.0, 50.0, batch=4, rate=1_000.0))
    owner.found("b2")
    owner.update(replace(what, members=what.members[1:]))
    assert place(owner, 8) == ["b1"] * 4 + ["b2"] * 4
    owner.update(pool(1, session("t", 2.0, 10.0, 50.0, batch=4)))
    assert not owner.serves("s")
    assert owner.place("t", 1, 50_000, 0) == "b0"


def test_pool_owner_of_a_large_request_gives_it_a_batch_of_its_own() -> None:
    owner = owner_of(members=2, batch=4)
    assert owner.place("s", 6, 50_000, 0) == "b0"
    assert owner.place("s", 1, 50_000, 0) == "b1"


def test_pool_owner_takes_processing_and_travel_off_the_deadline() -> None:
    one = replace(session("s", 2.0, 10.0, 50.0, batch=4), preprocess_us=4_000, postprocess_us=1_000)
    owner = PoolOwner(pool(1, one), ["b0"], travel_us=3_000)
    assert owner.unloaded_us("s") == 12_000 + 5_000 + 3_000
    refused = owner.place("s", 1, 19_999, 0)
    assert isinstance(refused, Outcome)
    assert owner.place("s", 1, 20_000, 0) == "b0"


def test_pool_owner_lets_a_tight_batch_go_before_one_that_gathers() -> None:
    slow = session("slow", 2.0, 10.0, 500.0, batch=32, rate=100.0)
    tight = session("tight", 2.0, 10.0, 50.0, batch=4, rate=10.0)
    owner = PoolOwner(pool(1, slow, tight), ["b0"], travel_us=0)
    assert owner.place("slow", 1, 80_000, 0) == "b0"
    # Until 72 ms the device is spoken for, but the batch of 22 ms need not start before 58.
    placed = [owner.place("tight", 4, 50_000, 0) for _ in range(3)]
    assert placed[:2] == ["b0", "b0"]
    # A third batch of 18 ms would be late itself.
    assert isinstance(placed[2], Outcome)
    assert placed[2].reason is DropReason.OVERLOADED


def test_pool_owner_expects_what_can_join_a_batch_to_leave_with_it() -> None:
    owner = owner_of(members=1)
    assert place(owner, 1) == ["b0"]
    assert owner.expected_us("s", 0) == 14_000, "two items at once, on an idle device"


def test_pool_owner_expects_the_urgent_to_go_before_what_gathers() -> None:
    slow = session("slow", 2.0, 10.0, 500.0, batch=32, rate=100.0)
    tight = session("tight", 2.0, 10.0, 50.0, batch=4, rate=10.0)
    owner = PoolOwner(pool(1, slow, tight), ["b0"], travel_us=0)
    assert owner.place("slow", 1, 80_000, 0) == "b0"
    assert owner.expected_us("tight", 0) == owner.unloaded_us("tight")


def test_pool_batch_takes_nothing_that_is_there_after_it_has_started() -> None:
    latencies = BatchLatencies([12_000, 14_000, 16_000, 18_000], target=4)
    batch = PoolBatch(
        "s", "b0", latencies, 1, 50_000, start_us=0, ready_us=0, planned_items=4, slack_us=6_000
    )
    assert batch.takes(1, 60_000, there_us=30_000)
    assert not batch.takes(1, 60_000, there_us=30_001)
