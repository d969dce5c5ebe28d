"""Sessions that are batched together: of one model with different SLOs, and of a prefix group."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.engine import BackendEngine
from nexus.backend.events import PlanChanged, SayStarted, Watched
from nexus.core.plan import BackendPlan, Placement
from nexus.core.profile import linear_profile
from nexus.core.request import DropReason
from tests.backend.virtual_backend import FAST, VirtualBackend, placement_of

CARS = linear_profile("cars", "v100", 1_500, 9_000, 16)
FACES = linear_profile("faces", "v100", 1_500, 9_000, 16)
STREET = linear_profile("street", "v100", 1_200, 10_000, 24)
"""The prefix group of cars and faces."""

TIGHT = replace(placement_of(FAST, 50_000, 8), group="fast-all")
LOOSE = replace(placement_of(FAST, 200_000, 8), group="fast-all")
TIGHT_NAME, LOOSE_NAME = TIGHT.session, LOOSE.session

CARS_100 = replace(placement_of(CARS, 100_000, 8), group="street")
FACES_100 = replace(placement_of(FACES, 100_000, 8), group="street")


@pytest.fixture
def world() -> VirtualBackend:
    return VirtualBackend({"fast": FAST})


@pytest.fixture
def street() -> VirtualBackend:
    return VirtualBackend({"cars": CARS, "faces": FACES, "street": STREET})


def pooled(placement: Placement) -> Placement:
    return replace(placement, pool="p0")


def test_group_batches_sessions_of_one_model_together(world: VirtualBackend) -> None:
    world.plan(TIGHT, LOOSE)
    world.arrive(0, TIGHT_NAME, 50_000)
    for number in (1, 2):
        world.arrive(number, LOOSE_NAME, 200_000)
    world.arrive(3, TIGHT_NAME, 50_000)
    world.run_until(200_000)
    first, second = world.batches
    assert first.items == 1
    assert (second.session, second.model, second.items) == (TIGHT_NAME, "fast", 3)
    assert second.shares == {TIGHT_NAME: 1, LOOSE_NAME: 2}
    assert world.loads == ["fast"]


def test_group_leaves_out_the_least_urgent_first(world: VirtualBackend) -> None:
    world.plan(replace(TIGHT, batch=1), replace(LOOSE, batch=1))
    world.arrive(0, LOOSE_NAME, 200_000)
    for number in (1, 2, 3):
        world.arrive(number, LOOSE_NAME, 100_000)
        world.arrive(number + 10, TIGHT_NAME, 21_999)
    world.run_until(300_000)
    # The window is of two items; a third would make the tight ones late.
    assert world.batches[1].shares == {TIGHT_NAME: 2}


def test_group_without_a_profile_batches_each_model_apart() -> None:
    world = VirtualBackend({"cars": CARS, "faces": FACES})
    world.plan(CARS_100, FACES_100)
    for number in range(6):
        world.arrive(number, (CARS_100, FACES_100)[number % 2].session, 100_000)
    world.run_until(100_000)
    assert {batch.model for batch in world.batches} == {"cars", "faces"}
    assert all(len(batch.shares) == 1 for batch in world.batches)


def test_group_runs_a_prefix_batch_by_the_profile_of_the_group(street: VirtualBackend) -> None:
    street.plan(CARS_100, FACES_100)
    sessions = (CARS_100.session, FACES_100.session)
    street.arrive(0, sessions[0], 100_000)
    for number in range(1, 7):
        street.arrive(number, sessions[number % 2], 100_000)
    street.run_until(100_000)
    _, batch = street.batches
    assert (batch.model, batch.items) == ("street", 6)
    assert street.ends_us[batch.keys[0]] == STREET.latency_us(1) + STREET.latency_us(6)
    # Each member's inputs are one slice of the batch.
    assert [key.dispatch % 2 for key in batch.keys] == [0, 0, 0, 1, 1, 1]


def test_group_takes_batches_as_large_as_its_own_profile(street: VirtualBackend) -> None:
    street.plan(CARS_100, FACES_100)
    street.arrive(0, CARS_100.session, 100_000, items=17)
    too_large = street.arrive(1, CARS_100.session, 1_000_000, items=25)
    street.run_until(100_000)
    assert street.rejected == {too_large: DropReason.INVALID}
    assert [batch.items for batch in street.batches] == [17]


def test_group_reports_what_its_batches_took(street: VirtualBackend) -> None:
    street.slowdown = 1.1
    street.plan(CARS_100, FACES_100)
    for number in range(20):
        street.arrive(number, CARS_100.session, street.now_us + 100_000)
        street.run_until(street.now_us + 50_000)
    (measured,) = street.engine.status().measured
    assert (measured.model, measured.batch) == ("street", 1)
    assert measured.latency_us == round(STREET.latency_us(1) * 1.1)


def test_group_is_deferred_only_if_all_its_sessions_are_pooled(world: VirtualBackend) -> None:
    world.plan(pooled(TIGHT), LOOSE)
    key = world.arrive(1, TIGHT_NAME, 50_000)
    world.run_until(50_000)
    assert world.ends_us[key] == 10_000
    world.plan(pooled(TIGHT), pooled(LOOSE), version=2)
    key = world.arrive(2, LOOSE_NAME, 250_000)
    world.run_until(250_000)
    assert world.ends_us[key] == 250_000 - FAST.latency_us(2) + FAST.latency_us(1)


def test_group_says_once_what_it_started_of_all_its_sessions(world: VirtualBackend) -> None:
    world.plan(TIGHT, LOOSE)
    world.arrive(0, TIGHT_NAME, 50_000)
    world.run_until(0)
    world.tell(Watched(5, on=True))
    for number in range(1, 4):
        world.arrive(number, LOOSE_NAME, 200_000)
        world.arrive(number + 10, TIGHT_NAME, 50_000)
    world.run_until(15_000)
    assert world.said == [SayStarted((5,), TIGHT_NAME, 6, FAST.latency_us(6), 0)]


# What plans change while dispatches wait.


def test_session_keeps_its_queue_when_it_joins_and_leaves_a_group(world: VirtualBackend) -> None:
    alone = (replace(TIGHT, group=None), replace(LOOSE, group=None))
    world.plan(*alone)
    keys = [world.arrive(0, TIGHT_NAME, 100_000)]
    for number in range(1, 5):
        session = (TIGHT_NAME, LOOSE_NAME)[number % 2]
        keys.append(world.arrive(number, session, 200_000))
    world.run_until(0)
    world.plan(TIGHT, LOOSE, version=2)
    world.plan(*alone, version=3)
    world.plan(TIGHT, LOOSE, version=4)
    world.run_until(200_000)
    assert [batch.items for batch in world.batches] == [1, 4]
    assert sorted(world.ends_us) == keys
    assert world.engine.queued_items() == {TIGHT_NAME: 0, LOOSE_NAME: 0}


def test_session_that_becomes_local_starts_at_once(world: VirtualBackend) -> None:
    world.plan(pooled(LOOSE))
    key = world.arrive(1, LOOSE_NAME, 200_000)
    world.run_until(1_000)
    world.plan(LOOSE, version=2)
    world.run_until(200_000)
    assert world.ends_us == {key: 11_000}


def test_session_that_becomes_pooled_waits(world: VirtualBackend) -> None:
    world.plan(LOOSE)
    world.arrive(1, LOOSE_NAME, 200_000)
    world.run_until(0)
    key = world.arrive(2, LOOSE_NAME, 200_000)
    world.run_until(1_000)
    world.plan(pooled(LOOSE), version=2)
    world.run_until(200_000)
    assert world.ends_us[key] == 200_000 - FAST.latency_us(2) + FAST.latency_us(1)


def test_session_starts_by_the_profile_that_came_while_it_waited(world: VirtualBackend) -> None:
    world.plan(pooled(LOOSE))
    world.arrive(1, LOOSE_NAME, 200_000)
    world.run_until(1_000)
    slower = linear_profile("fast", "v100", 2_000, 48_000, 16)
    world.profiles = {"fast": slower}
    world.plan(pooled(LOOSE), version=2)
    assert world.engine.next_wakeup_us() == 200_000 - slower.latency_us(2)
    world.run_until(300_000)
    assert list(world.ends_us.values()) == [200_000 - 52_000 + 50_000]


def test_session_gives_up_what_no_longer_fits_its_group(street: VirtualBackend) -> None:
    street.plan(CARS_100, FACES_100)
    street.arrive(1, CARS_100.session, 1_000_000)
    street.run_until(0)
    key = street.arrive(2, CARS_100.session, 1_000_000, items=20)
    street.run_until(0)
    apart = {"cars": CARS, "faces": FACES}
    plan = BackendPlan(
        device="v100", duty_cycle_us=1, occupancy=1.0, placements=(CARS_100, FACES_100)
    )
    street.tell(PlanChanged(plan, 2, apart))
    assert street.rejected == {key: DropReason.INVALID}


PLANS: tuple[tuple[Placement, ...], ...] = (
    (TIGHT, LOOSE),
    (pooled(TIGHT), pooled(LOOSE)),
    (pooled(TIGHT), LOOSE),
    (replace(TIGHT, group=None), pooled(replace(LOOSE, group=None))),
    (LOOSE,),
    (pooled(replace(TIGHT, group=None, batch=3)),),
)


@given(st.integers(0, 10**6), st.booleans(), st.floats(0.8, 1.0))
def test_groups_and_pools_end_every_dispatch_once_and_in_time(
    seed: int, prepares: bool, slowdown: float
) -> None:
    """Whatever plans come meanwhile; no batch is slower than profiled, so nobody may be late."""
    chance = random.Random(seed)
    engine = BackendEngine(reply_us=0, prepares=prepares)
    world = VirtualBackend({"fast": FAST}, slowdown=slowdown, engine=engine)
    world.plan(*PLANS[0])
    deadlines_us: dict[DispatchKey, int] = {}
    for number in range(80):
        world.run_until(world.now_us + chance.randrange(5_000))
        if chance.random() < 0.1:
            world.plan(*chance.choice(PLANS), version=number + 2)
        deadline_us = world.now_us + chance.randrange(1, 200_000)
        session = chance.choice((TIGHT_NAME, LOOSE_NAME))
        key = world.arrive(number, session, deadline_us, chance.choice((1, 1, 1, 2, 5)))
        deadlines_us[key] = deadline_us
    world.run_until(world.now_us + 1_000_000)
    assert world.rejected.keys() | world.ends_us.keys() == deadlines_us.keys()
    assert not world.rejected.keys() & world.ends_us.keys()
    assert all(ended_us <= deadlines_us[key] for key, ended_us in world.ends_us.items())
    assert sum(world.engine.queued_items().values()) == 0
