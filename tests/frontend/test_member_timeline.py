"""What the owner of a pool reckons of one backend, and how it is corrected by what it hears."""

from nexus.frontend.batch_latencies import BatchLatencies
from nexus.frontend.member_timeline import MemberTimeline, Started
from nexus.frontend.pool_batch import PoolBatch

LATENCIES = BatchLatencies([10_000] * 4, target=4)


def batch_of(session: str, due_us: int = 100_000) -> PoolBatch:
    """A full batch, which takes 10 ms on a free device."""
    return PoolBatch(
        session=session,
        backend="b0",
        latencies=LATENCIES,
        items=4,
        due_us=due_us,
        start_us=0,
        ready_us=0,
        planned_items=4,
        closed=True,
    )


def timeline_of(*batches: PoolBatch) -> MemberTimeline:
    timeline = MemberTimeline("b0", spare=False)
    for batch in batches:
        timeline.add(batch)
    return timeline


def heard(timeline: MemberTimeline, session: str, now_us: int, queued_items: int = 0) -> None:
    timeline.started(session, LATENCIES, Started(10_000, queued_items), now_us)


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


def test_member_timeline_takes_what_is_said_of_each_session_of_a_batch_for_one() -> None:
    timeline = timeline_of(batch_of("a"), batch_of("a"))
    heard(timeline, "a", 0)
    heard(timeline, "a", 1)  # Of another session of the same group.
    assert timeline.free_us(1) == 20_001
    heard(timeline, "a", 10_001)
    assert timeline.free_us(10_001) == 20_001
