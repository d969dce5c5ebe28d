"""The backend engine, event by event and in virtual time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import QUEUE_ITEMS_MAX
from nexus.backend.engine import BackendEngine
from nexus.backend.events import (
    Arrived,
    Cancelled,
    ConnectionLost,
    Drain,
    Drained,
    Execute,
    Executed,
    Load,
    Loaded,
    LoadFailed,
    PlanChanged,
    Prepare,
    Prepared,
    PrepareFailed,
    Reject,
    Tick,
)
from nexus.backend.model_residency import LOAD_RETRY_FIRST_US
from nexus.core.plan import BackendPlan
from nexus.core.profile import Profile, linear_profile
from nexus.core.request import Dispatch, DropReason, dropped
from tests.backend.virtual_backend import (
    FAST,
    FAST_100,
    Chances,
    Story,
    VirtualBackend,
    placement_of,
)

SLOW = linear_profile("slow", "v100", 5_000, 45_000, 16)
SLOW_500 = placement_of(SLOW, 500_000, 4)


@pytest.fixture
def world() -> VirtualBackend:
    return VirtualBackend({"fast": FAST, "slow": SLOW})


def test_engine_executes_what_arrives(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    key = world.arrive(1, "fast@100ms", 100_000)
    world.run_until(100_000)
    assert world.ends_us == {key: 10_000}
    assert world.rejected == {}


def test_engine_batches_what_waits(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    for number in range(5):
        world.arrive(number, "fast@100ms", 100_000)
    world.run_until(100_000)
    assert [batch.items for batch in world.batches] == [1, 4]


@pytest.mark.parametrize(
    ("session", "deadline_us", "items", "reason"),
    [
        ("other@1ms", 100_000, 1, DropReason.NO_ROUTE),
        ("fast@100ms", 9_999, 1, DropReason.DEADLINE),
        ("fast@100ms", 100_000, 17, DropReason.INVALID),
    ],
)
def test_engine_refuses_at_once(
    world: VirtualBackend, session: str, deadline_us: int, items: int, reason: DropReason
) -> None:
    world.plan(FAST_100)
    key = world.arrive(1, session, deadline_us, items)
    assert world.rejected == {key: reason}


def test_engine_refuses_while_the_model_loads() -> None:
    world = VirtualBackend({"fast": FAST}, load_us=50_000)
    world.tell(PlanChanged(_plan(FAST_100), 1, world.profiles))
    key = world.arrive(1, "fast@100ms", 1_000_000)
    assert world.rejected == {key: DropReason.NO_ROUTE}


def test_engine_bounds_its_queues(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    world.prepare_us = 1_000_000
    for number in range(QUEUE_ITEMS_MAX // 16):
        world.arrive(number, "fast@100ms", 10**9, 16)
    key = world.arrive(10**6, "fast@100ms", 10**9)
    assert world.rejected == {key: DropReason.QUEUE_FULL}


def test_engine_counts_the_running_batch_when_it_refuses(world: VirtualBackend) -> None:
    world.plan(FAST_100, SLOW_500)
    world.arrive(1, "slow@500ms", 500_000)
    world.run_until(0)
    key = world.arrive(2, "fast@100ms", 59_999)
    assert world.rejected == {key: DropReason.DEADLINE}
    world.arrive(3, "fast@100ms", 60_000)
    world.run_until(100_000)
    assert world.ends_us[DispatchKey(0, 3)] == 60_000


def test_engine_rejects_what_a_slow_batch_made_late_without_waiting_for_its_end() -> None:
    world = VirtualBackend({"fast": FAST}, slowdown=20.0)
    world.plan(FAST_100)
    world.arrive(1, "fast@100ms", 100_000)
    world.run_until(1)
    key = world.arrive(2, "fast@100ms", 60_000)
    world.run_until(50_001)
    assert world.rejected == {key: DropReason.DEADLINE}
    assert world.now_us < world.ends_us[DispatchKey(0, 1)]


def test_engine_counts_postprocessing_and_the_reply() -> None:
    profile = Profile(model="fast", device="v100", latencies_us=(10_000,), postprocess_us=5_000)
    world = VirtualBackend({"fast": profile}, engine=BackendEngine(reply_us=2_000))
    world.plan(placement_of(profile, 100_000, 1))
    refused = world.arrive(1, "fast@100ms", 16_999)
    taken = world.arrive(2, "fast@100ms", 17_000)
    assert world.rejected == {refused: DropReason.DEADLINE}
    world.run_until(100_000)
    assert taken in world.ends_us


def test_engine_passes_on_why_preparing_failed(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    key = DispatchKey(0, 1)
    dispatch = Dispatch(id=1, session="fast@100ms", deadline_us=100_000)
    assert world.engine.handle(Arrived(key, dispatch), 0) == (Prepare(key),)
    corrupt = dropped(DropReason.INVALID, "not a JPEG")
    assert world.engine.handle(PrepareFailed(key, corrupt), 0) == (Reject(key, corrupt),)


def test_engine_answers_a_cancelled_dispatch_once(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    running, waiting = (world.arrive(number, "fast@100ms", 100_000) for number in (1, 2))
    world.run_until(0)
    world.tell(Cancelled(waiting))
    world.tell(Cancelled(waiting))
    world.tell(Cancelled(running))
    world.run_until(100_000)
    assert world.rejected == {waiting: DropReason.CANCELLED}
    assert list(world.ends_us) == [running]


def test_engine_forgets_the_work_of_a_lost_connection(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    world.prepare_us = 1_000
    for number in range(3):
        world.arrive(number, "fast@100ms", 100_000)
    world.tell(ConnectionLost(0))
    world.run_until(100_000)
    assert (world.rejected, world.ends_us) == ({}, {})
    assert world.engine.queued_items() == {"fast@100ms": 0}


def test_engine_rejects_a_failed_batch_and_goes_on(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    engine, key = world.engine, DispatchKey(0, 1)
    engine.handle(Arrived(key, Dispatch(id=1, session="fast@100ms", deadline_us=100_000)), 0)
    (execute,) = engine.handle(Prepared(key), 0)
    assert isinstance(execute, Execute)
    (reject,) = engine.handle(Executed(execute.batch.id, "CUDA error"), 5_000)
    assert isinstance(reject, Reject)
    assert (reject.outcome.reason, reject.outcome.message) == (DropReason.ERROR, "CUDA error")


def test_engine_drains_after_the_queue(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    keys = [world.arrive(number, "fast@100ms", 100_000) for number in range(3)]
    world.run_until(0)
    world.tell(Drain())
    late = world.arrive(9, "fast@100ms", 100_000)
    drained_early = world.drained_at_us is not None
    world.run_until(100_000)
    assert (drained_early, world.drained_at_us) == (False, 21_000)
    assert world.rejected == {late: DropReason.DRAINING}
    assert sorted(world.ends_us) == keys


def test_engine_drains_at_once_when_idle() -> None:
    assert BackendEngine().handle(Drain(), 0) == (Drained(),)


# The plan.


def _plan(*placements: object) -> BackendPlan:
    return BackendPlan(
        device="v100",
        duty_cycle_us=1,
        occupancy=1.0,
        placements=placements,  # type: ignore[arg-type]  # Placement, and tests read shorter
    )


def test_engine_loads_a_shared_model_once(world: VirtualBackend) -> None:
    other = placement_of(FAST, 200_000, 4)
    world.plan(FAST_100, other)
    assert world.loads == ["fast"]
    assert world.engine.status().loaded == ("fast@100ms", "fast@200ms")
    world.plan(other, version=2)
    assert world.unloads == []
    world.plan(version=3)
    assert world.unloads == ["fast"]


def test_engine_serves_on_while_it_loads() -> None:
    world = VirtualBackend({"fast": FAST, "slow": SLOW})
    world.plan(FAST_100)
    world.load_us = 10_000_000
    world.tell(PlanChanged(_plan(FAST_100, SLOW_500), 2, world.profiles))
    key = world.arrive(1, "fast@100ms", 100_000)
    world.run_until(100_000)
    assert world.ends_us[key] == 10_000
    assert world.engine.status().loaded == ("fast@100ms",)


def test_engine_finishes_the_queue_of_a_session_that_left(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    keys = [world.arrive(number, "fast@100ms", 100_000) for number in range(3)]
    world.tell(PlanChanged(None, 2))
    assert world.unloads == []
    refused = world.arrive(9, "fast@100ms", 100_000)
    world.run_until(100_000)
    assert sorted(world.ends_us) == keys
    assert world.rejected == {refused: DropReason.NO_ROUTE}
    assert world.unloads == ["fast"]


def test_engine_ignores_older_plans_but_not_a_new_leaders(world: VirtualBackend) -> None:
    world.plan(FAST_100, version=5)
    world.tell(PlanChanged(None, 4))
    assert world.engine.status().plan_version == 5
    world.tell(PlanChanged(None, 1, fence=1))
    assert world.engine.status() == type(world.engine.status())(1, (), {}, ())


def test_engine_replaces_the_model_of_a_session_once_it_is_empty(world: VirtualBackend) -> None:
    world.plan(placement_of(FAST, 100_000, 4, session="q/s"))
    key = world.arrive(1, "q/s", 100_000)
    world.run_until(0)
    world.plan(placement_of(SLOW, 100_000, 4, session="q/s"), version=2)
    assert world.engine.status().loaded == ()
    world.run_until(200_000)
    assert world.ends_us[key] == 10_000
    assert (world.loads, world.unloads) == (["fast", "slow"], ["fast"])
    assert world.engine.status().loaded == ("q/s",)


def test_engine_retries_a_failed_load_with_back_off() -> None:
    engine = BackendEngine()
    engine.handle(PlanChanged(_plan(FAST_100), 1, {"fast": FAST}), 0)
    engine.handle(LoadFailed("fast@100ms", "no such file"), 0)
    assert engine.status().failed == {"fast@100ms": "no such file"}
    assert engine.next_wakeup_us() == LOAD_RETRY_FIRST_US
    assert engine.handle(Tick(), LOAD_RETRY_FIRST_US - 1) == ()
    assert engine.handle(Tick(), LOAD_RETRY_FIRST_US) == (Load(FAST_100),)
    engine.handle(LoadFailed("fast@100ms", "no such file"), LOAD_RETRY_FIRST_US)
    assert engine.next_wakeup_us() == 3 * LOAD_RETRY_FIRST_US
    engine.handle(Tick(), 3 * LOAD_RETRY_FIRST_US)
    engine.handle(Loaded("fast@100ms"), 3 * LOAD_RETRY_FIRST_US)
    assert engine.status().failed == {}
    assert engine.status().loaded == ("fast@100ms",)


def test_engine_unloads_what_left_while_it_loaded() -> None:
    engine = BackendEngine()
    engine.handle(PlanChanged(_plan(FAST_100), 1, {"fast": FAST}), 0)
    assert engine.handle(PlanChanged(None, 2), 0) == ()
    (unload,) = engine.handle(Loaded("fast@100ms"), 0)
    assert (unload, engine.status().loaded) == (unload, ())


def test_engine_names_a_missing_profile_and_loads_when_it_comes() -> None:
    engine = BackendEngine()
    assert engine.handle(PlanChanged(_plan(FAST_100), 1), 0) == ()
    assert "no profile" in engine.status().failed["fast@100ms"]
    assert engine.handle(PlanChanged(_plan(FAST_100), 1, {"fast": FAST}), 0) == (Load(FAST_100),)


def test_engine_rejects_what_a_shorter_profile_no_longer_allows(world: VirtualBackend) -> None:
    world.plan(FAST_100)
    world.arrive(1, "fast@100ms", 1_000_000)
    world.run_until(0)
    key = world.arrive(2, "fast@100ms", 1_000_000, items=8)
    world.run_until(0)
    short = linear_profile("fast", "v100", 1_000, 9_000, 4)
    world.tell(PlanChanged(_plan(FAST_100), 2, {"fast": short}))
    assert world.rejected == {key: DropReason.INVALID}


# Conservation.


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.8, 1.5), st.integers(0, 4_000))
def test_engine_ends_every_dispatch_exactly_once(
    seed: int, slowdown: float, prepare_us: int
) -> None:
    """One Reject or one Execute each; the virtual backend asserts that neither comes twice."""
    world = VirtualBackend({"fast": FAST, "slow": SLOW}, prepare_us, slowdown)
    world.plan(FAST_100, SLOW_500)
    story = Story(world, [(FAST_100,), (FAST_100, SLOW_500)], ("fast@100ms", "slow@500ms"))
    story.happen(random.Random(seed), Chances(gap_us=6_000, cancel=0.05, replan=0.02, lose=0.01))
    story.assert_each_ended_once()
    if slowdown <= 1.0:
        story.assert_in_time()
