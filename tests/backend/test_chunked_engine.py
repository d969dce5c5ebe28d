"""The backend engine with a model that runs by chunks: joins, leaves, turns, and who is lost."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.events import Cancelled, ConnectionLost, Drain, Executed, Watched
from nexus.core.plan import Placement
from nexus.core.profile import linear_profile
from nexus.core.request import DropReason
from nexus.core.units import US_PER_S
from tests.backend.virtual_backend import (
    FAST,
    FAST_100,
    Chances,
    Story,
    Stream,
    VirtualBackend,
    goodput,
    placement_of,
)

SPEECH = linear_profile("speech", "v100", 2_000, 18_000, 16)
SPEECH_100 = placement_of(SPEECH, 100_000, 4)
NAME, FAST_NAME = SPEECH_100.session, FAST_100.session
CHUNK_US = 5_000


@pytest.fixture
def world() -> VirtualBackend:
    return new_world()


def new_world(prepare_us: int = 0, slowdown: float = 1.0) -> VirtualBackend:
    profiles = {"speech": SPEECH, "fast": FAST}
    return VirtualBackend(profiles, prepare_us, slowdown, chunks_us={"speech": CHUNK_US})


def two_sessions(
    world: VirtualBackend, deadline_us: int, fast_deadline_us: int
) -> tuple[DispatchKey, DispatchKey]:
    """One dispatch has begun by chunks when one of another session comes, at 1 ms."""
    world.plan(SPEECH_100, FAST_100)
    begun = world.arrive(1, NAME, deadline_us)
    world.run_until(1_000)
    return begun, world.arrive(2, FAST_NAME, fast_deadline_us)


def test_chunks_of_one_dispatch_take_l_of_one(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    key = world.arrive(1, NAME, 100_000)
    world.run_until(100_000)
    assert [batch.keys for batch in world.batches] == [(key,)] * 4
    assert world.ends_us == {key: 20_000}


def test_chunk_lets_a_newcomer_join_between_two(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    first = world.arrive(1, NAME, 100_000)
    world.run_until(7_000)
    second = world.arrive(2, NAME, 100_000)
    world.run_until(100_000)
    assert [batch.keys for batch in world.batches[:3]] == [(first,), (first,), (first, second)]
    # Half of l(1) was done; the other half takes half of l(2), and is over at that chunk's end.
    assert world.ends_us[first] == 10_000 + 3 * CHUNK_US
    # 15 ms of l(2), then the rest of l(1).
    assert world.ends_us[second] == 25_000 + math.ceil(20_000 * (1 - 15 / 22))


def test_chunk_lets_nobody_join_whom_those_who_have_begun_cannot_bear(
    world: VirtualBackend,
) -> None:
    world.plan(SPEECH_100)
    first = world.arrive(1, NAME, 20_500)
    world.run_until(1_000)
    second = world.arrive(2, NAME, 100_000)
    world.run_until(100_000)
    # From 15 ms on a quarter is left, and l(2) is 22 ms; the last chunk ends with its end.
    assert world.ends_us[first] == 20_500
    assert [batch.ends_with for batch in world.batches][:5] == [None] * 4 + [first]
    assert second in world.batches[3].keys
    assert world.ends_us[second] < 42_000


def test_chunk_that_was_slow_costs_whom_it_made_late(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    world.slowdown = 1.5
    key = world.arrive(1, NAME, 22_000)
    world.run_until(7_500)
    assert world.rejected == {key: DropReason.DEADLINE}
    assert world.now_us < 22_000


def test_turn_of_chunks_ends_with_those_with_whom_it_began(world: VirtualBackend) -> None:
    first, _ = two_sessions(world, 1_000_000, 1_000_000)
    world.run_until(6_000)
    joiner = world.arrive(3, NAME, 1_000_000)
    world.run_until(100_000)
    assert [batch.model for batch in world.batches][:7] == ["speech"] * 5 + ["fast", "speech"]
    assert world.ends_us[first] == 5 * CHUNK_US
    # What had begun goes on behind the other session's turn.
    assert world.batches[6].keys == (joiner,)
    assert len(world.ends_us) == 3


def test_joiner_must_bear_the_other_sessions_turn(world: VirtualBackend) -> None:
    two_sessions(world, 1_000_000, 1_000_000)
    # l(2) of its own, and l(1) of the other's: it would begin at 5 ms.
    joiner = world.arrive(3, NAME, 5_000 + 22_000 + 9_999)
    world.run_until(100_000)
    assert [joiner in batch.keys for batch in world.batches][:4] == [False] * 4
    assert world.rejected == {joiner: DropReason.DEADLINE}


def test_chunk_ends_for_an_urgent_dispatch_of_another_session(world: VirtualBackend) -> None:
    slow, urgent = two_sessions(world, 100_000, 16_000)
    world.run_until(100_000)
    assert world.ends_us == {urgent: 15_000, slow: 30_000}


def test_begun_is_given_up_while_another_session_runs(world: VirtualBackend) -> None:
    begun, urgent = two_sessions(world, 35_000, 16_000)
    world.run_until(4_000)
    world.slowdown = 3.0
    world.run_until(20_001)
    # Three quarters of l(1) are left of it.
    assert world.rejected == {begun: DropReason.DEADLINE}
    assert world.ends_us == {urgent: 35_000}


def test_cancelled_dispatch_leaves_after_its_chunk(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    stays, goes = (world.arrive(number, NAME, 100_000) for number in (1, 2))
    world.run_until(6_000)
    assert world.tell(Cancelled(goes)) == ()
    world.run_until(100_000)
    assert world.rejected == {goes: DropReason.CANCELLED}
    assert list(world.ends_us) == [stays]
    assert all(goes not in batch.keys for batch in world.batches[2:])


def test_cancelled_dispatch_is_answered_if_its_last_chunk_runs(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    key = world.arrive(1, NAME, 100_000)
    world.run_until(16_000)
    world.tell(Cancelled(key))
    world.run_until(100_000)
    assert (world.rejected, list(world.ends_us)) == ({}, [key])


def test_cancelled_dispatch_between_two_chunks_is_answered_at_once(world: VirtualBackend) -> None:
    begun, _ = two_sessions(world, 100_000, 16_000)
    world.run_until(6_000)
    assert world.batches[-1].model == "fast"
    world.tell(Cancelled(begun))
    assert world.rejected == {begun: DropReason.CANCELLED}


def test_lost_connection_takes_what_has_begun_along(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    world.arrive(1, NAME, 100_000)
    world.run_until(1_000)
    world.tell(ConnectionLost(0))
    world.run_until(100_000)
    assert (world.rejected, world.ends_us, len(world.batches)) == ({}, {}, 1)


def test_failed_chunk_costs_all_who_are_in_it(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    keys = {world.arrive(number, NAME, 100_000) for number in (1, 2)}
    world.run_until(6_000)
    world._pending.clear()
    world.tell(Executed(world.batches[-1].id, "out of memory"))
    assert world.rejected == dict.fromkeys(keys, DropReason.ERROR)


def test_chunk_announces_its_own_end_and_who_joins(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    world.tell(Watched(7, on=True))
    world.arrive(1, NAME, 100_000, items=2)
    world.run_until(1_000)
    world.arrive(2, NAME, 100_000, items=3)
    world.run_until(100_000)
    said = [(one.items, one.busy_us, one.queued_items) for one in world.said]
    assert said[:3] == [(2, CHUNK_US, 0), (3, CHUNK_US, 0), (0, CHUNK_US, 0)]
    assert 0 < said[-1][1] < CHUNK_US


def test_chunks_are_not_deferred_although_pooled(world: VirtualBackend) -> None:
    world.plan(replace(SPEECH_100, pool="p0"))
    key = world.arrive(1, NAME, 100_000)
    world.run_until(100_000)
    assert world.ends_us == {key: 20_000}


def test_chunks_teach_the_time_of_whole_dispatches(world: VirtualBackend) -> None:
    world.slowdown = 1.2
    world.plan(SPEECH_100)
    for number in range(20):
        world.arrive(number, NAME, world.now_us + 100_000)
        world.run_until(world.now_us + 50_000)
    (measured,) = world.engine.status().measured
    assert (measured.model, measured.batch, measured.latency_us) == ("speech", 1, 24_000)


def test_model_is_not_unloaded_between_two_chunks(world: VirtualBackend) -> None:
    begun, _ = two_sessions(world, 100_000, 16_000)
    world.run_until(6_000)
    world.plan(FAST_100, version=2)
    assert world.unloads == []
    world.run_until(100_000)
    assert begun in world.ends_us
    assert world.unloads == ["speech"]


def test_begun_moves_to_another_group_of_its_session(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    key = world.arrive(1, NAME, 100_000)
    world.run_until(1_000)
    world.plan(replace(SPEECH_100, group="all"), version=2)
    world.run_until(100_000)
    assert world.ends_us == {key: 20_000}


def test_begun_begins_anew_in_a_group_without_chunks() -> None:
    world = new_world()
    world.profiles["street"] = linear_profile("street", "v100", 1_200, 10_000, 24)
    world.plan(SPEECH_100, FAST_100)
    key = world.arrive(1, NAME, 100_000)
    world.run_until(1_000)
    members = (replace(one, group="street") for one in (SPEECH_100, FAST_100))
    world.plan(*members, version=2)
    world.run_until(100_000)
    assert [batch.model for batch in world.batches] == ["speech", "street"]
    assert world.ends_us == {key: 5_000 + 11_200}


def test_begun_goes_on_although_a_newer_profile_is_shorter(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    key = world.arrive(1, NAME, 1_000_000, items=8)
    world.run_until(1_000)
    world.profiles["speech"] = linear_profile("speech", "v100", 2_000, 18_000, 4)
    world.plan(SPEECH_100, version=2)
    world.run_until(1_000_000)
    assert (world.rejected, list(world.ends_us)) == ({}, [key])


def test_engine_drains_after_the_last_chunk(world: VirtualBackend) -> None:
    world.plan(SPEECH_100)
    world.arrive(1, NAME, 100_000)
    world.run_until(1_000)
    world.tell(Drain())
    world.run_until(100_000)
    assert world.drained_at_us == 20_000


def test_joining_serves_more_than_whole_batches_do() -> None:
    """One comes just after a batch began: it need not wait for the end of that."""
    latencies_us = []
    for chunks_us in ({}, {"speech": CHUNK_US}):
        world = VirtualBackend({"speech": SPEECH}, chunks_us=dict(chunks_us))
        world.plan(SPEECH_100)
        chance, arrivals_us = random.Random(1), {}
        for number in range(200):
            world.run_until(world.now_us + chance.randrange(24_000))
            arrivals_us[world.arrive(number, NAME, world.now_us + 100_000)] = world.now_us
        world.run_until(world.now_us + 1_000_000)
        assert len(world.ends_us) == 200
        latencies_us.append(sum(world.ends_us[key] - at for key, at in arrivals_us.items()) / 200)
    whole_us, by_chunks_us = latencies_us
    assert by_chunks_us < 0.9 * whole_us


@pytest.mark.parametrize("sessions", [1, 2])
def test_chunks_do_not_lose_goodput_in_overload(sessions: int) -> None:
    """Few who cannot bear more must not be all that runs, nor be given up half done."""
    profiles = (SPEECH, FAST)[:sessions]
    placements = [placement_of(profile, 150_000, 12) for profile in profiles]
    cycle_us = sum(placement.latency_us for placement in placements)
    streams = [
        Stream(placement, profile, 1.8 * 12 / cycle_us * US_PER_S)
        for placement, profile in zip(placements, profiles, strict=True)
    ]
    whole = goodput(streams, 4_000_000, seed=1)
    by_chunks = goodput(streams, 4_000_000, seed=1, chunks_us={"speech": CHUNK_US})
    assert sum(by_chunks.values()) > 0.95 * sum(whole.values())
    assert min(by_chunks.values()) > 0.9 * min(whole.values())


# Conservation.

GROUPED = replace(SPEECH_100, group="all")
LOOSE = replace(placement_of(SPEECH, 400_000, 4), group="all")
PLANS: tuple[tuple[Placement, ...], ...] = (
    (SPEECH_100,),
    (SPEECH_100, FAST_100),
    (GROUPED, LOOSE, FAST_100),
    (FAST_100,),
)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.8, 1.5), st.integers(0, 4_000))
def test_engine_ends_every_dispatch_of_chunks_exactly_once(
    seed: int, slowdown: float, prepare_us: int
) -> None:
    """Under joins, cancels, losses, drops, moves and unloads; and what begins goes on."""
    world = new_world(prepare_us, slowdown)
    world.plan(*PLANS[2])
    story = Story(world, PLANS, (NAME, LOOSE.session, FAST_NAME))
    story.happen(random.Random(seed), Chances(gap_us=8_000, cancel=0.1, replan=0.03, lose=0.02))
    story.assert_each_ended_once()
    if slowdown <= 1.0:
        # Chunks end on whole microseconds.
        story.assert_in_time(rounding_us=2)
    _goes_on(story)


def _goes_on(story: Story) -> None:
    """What has begun is in each next batch of its session until its end, before newcomers."""
    world, begun = story.world, dict[DispatchKey, str]()
    last = {key: batch.id for batch in world.batches for key in batch.keys}
    for batch in world.batches:
        if batch.model != "speech":
            continue
        going = {key for key in begun if key in batch.keys}
        assert set(batch.keys[: len(going)]) == going
        left_out = {key for key, session in begun.items() if session in batch.shares} - going
        assert left_out <= world.rejected.keys() | story.lost
        begun |= {key: story.session_of[key] for key in batch.keys}
        begun = {key: name for key, name in begun.items() if last[key] > batch.id}
