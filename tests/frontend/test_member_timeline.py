"""What the owner of a pool reckons of one backend, and how it is corrected by what it hears."""

from nexus.frontend.batch_latencies import BatchLatencies
from nexus.frontend.member_timeline import MemberTimeline, Started
from nexus.frontend.pool_batch import PoolBatch

LATENCIES = BatchLatencies([10_000] * 4, target=4)


def batch_of(session: str, due_us: int = 100_000, items: int = 4) -> PoolBatch:
    """A batch that is filled no more, which takes 10 ms on a free device."""
    return PoolBatch(
        session=session,
        backend="b0",
        latencies=LATENCIES,
        items=items,
        due_us=due_us,
        start_us=0,
        ready_us=0,
        planned_items=items,
        closed=True,
    )


def timeline_of(*batches: PoolBatch) -> MemberTimeline:
    timeline = MemberTimeline("b0", spare=False)
    for batch in batches:
        timeline.add(batch)
    return timeline


def heard(
    timeline: MemberTimeline, session: str, now_us: int, *, items: int = 4, queued_items: int = 0
) -> None:
    timeline.started(session, LATENCIES, Started(items, 10_000, queued_items), now_us)


def test_member_timeline_keeps_what_was_overtaken_where_it_reckoned_it_had_started() -> None:
    timeline = timeline_of(batch_of("a"), batch_of("b"), batch_of("c"))
    assert timeline.free_us(15_000) == 30_000, "a is done, b runs, as reckoned"
    heard(timeline, "c", 15_000)
    assert timeline.free_us(15_000) == 45_000, "c runs, a and b wait"
    heard(timeline, "b", 25_000)
    assert timeline.free_us(25_000) == 45_000


def test_member_timeline_forgets_what_can_no_longer_be_in_time() -> None:
    timeline = timeline_of(batch_of("a", due_us=20_000), batch_of("b"), batch_of("c"))
    assert timeline.free_us(15_000) == 30_000
    heard(timeline, "c", 15_000)
    assert timeline.free_us(15_000) == 35_000, "the backend gives a up"


def test_member_timeline_counts_small_batches_that_run_as_one() -> None:
    first, second = batch_of("a", items=2), batch_of("a", items=2)
    timeline = timeline_of(first, second)
    heard(timeline, "a", 0)
    assert timeline.free_us(0) == 10_000, "nothing is left of either"
    assert not timeline.holds(second)


def test_member_timeline_keeps_what_a_backend_leaves_of_a_batch() -> None:
    first, second = batch_of("a", items=2), batch_of("a", items=3)
    timeline = timeline_of(first, second, batch_of("b"))
    heard(timeline, "a", 0, queued_items=1)
    assert second.items == 1
    assert timeline.free_us(0) == 30_000, "the rest of the second, and b"


def test_member_timeline_forgets_what_a_backend_has_given_up() -> None:
    dropped, newest = batch_of("a"), batch_of("a")
    timeline = timeline_of(batch_of("a"), dropped, newest)
    heard(timeline, "a", 0, queued_items=0)
    assert not timeline.holds(dropped)
    assert timeline.holds(newest), "all of it may be on its way"
    assert timeline.free_us(0) == 20_000


def test_member_timeline_waits_for_nothing_of_a_batch_that_has_started() -> None:
    newest = batch_of("a")
    timeline = timeline_of(newest)
    heard(timeline, "a", 0, items=3)
    assert not timeline.holds(newest), "what is not there when it starts has missed it"
    heard(timeline, "a", 10_000, items=1, queued_items=2)
    assert timeline.free_us(10_000) == 30_000, "two more came too late"
