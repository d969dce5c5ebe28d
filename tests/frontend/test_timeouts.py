"""What is under way is given up at its time, in order; what was closed before never is."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.frontend.timeouts import Timeouts


def test_timeouts_overdue_come_in_the_order_of_their_times() -> None:
    open_ids = {1, 2, 3}
    timeouts = Timeouts(open_ids)
    for number, timeout_us in ((1, 30), (2, 10), (3, 20)):
        timeouts.note(timeout_us, number)
    assert timeouts.look_us == 10
    assert timeouts.pop_overdue(9) is None
    assert [timeouts.pop_overdue(25) for _ in range(3)] == [2, 3, None]
    assert timeouts.look_us == 30


def test_timeouts_of_what_is_closed_are_passed_over() -> None:
    open_ids = {1, 2}
    timeouts = Timeouts(open_ids)
    timeouts.note(10, 1)
    timeouts.note(20, 2)
    open_ids.remove(1)
    assert timeouts.pop_overdue(15) is None
    assert timeouts.pop_overdue(20) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.integers(0, 3)), max_size=60))
def test_timeouts_find_exactly_what_a_search_of_all_finds(
    steps: list[tuple[int, bool, int]],
) -> None:
    open_at: dict[int, int] = {}
    timeouts = Timeouts(open_at)
    now_us = 0
    for number, (lasts_us, closes, passed_us) in enumerate(steps):
        now_us += passed_us
        if closes and open_at:
            del open_at[min(open_at)]
        timeout_us = open_at[number] = now_us + lasts_us
        timeouts.note(timeout_us, number)
        assert timeouts.look_us <= min(open_at.values())
        while (overdue := timeouts.pop_overdue(now_us)) is not None:
            assert open_at[overdue] == min(open_at.values()) <= now_us
            del open_at[overdue]
        assert all(at_us > now_us for at_us in open_at.values())
