"""Whose turn it is, how large the batch, and that long batches do not harm neighbours."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued
from nexus.backend.duty_cycle import Choice, Turn, choose, window
from nexus.backend.early_drop import Window

AFFINE = tuple(0 if batch == 0 else 10 + batch for batch in range(33))
"""l(b) = b + 10, up to 32."""


def turn(
    *due_us: int, batch: int = 4, budget_us: int = 1_000, table: tuple[int, ...] = AFFINE
) -> Turn:
    """A session whose single items are due at these times."""
    waiting = [
        Queued(due, number, DispatchKey(0, number), 1) for number, due in enumerate(sorted(due_us))
    ]
    return Turn(waiting, batch, budget_us, table)


def chosen(*turns: Turn, now_us: int = 0) -> Choice | None:
    heads = [window(one, now_us) for one in turns]
    assert all(head.dropped == 0 for head in heads)
    return choose(turns, heads, now_us)


def test_window_saves_a_head_of_even_arrivals_only_by_a_batch_that_keeps_up() -> None:
    # l(12) = 22 does not fit the head's 21; a batch of 11 takes 1.91 an item.
    one = turn(21, *[300] * 11, batch=8)
    behind, level = replace(one, even=True, gap_us=1.9), replace(one, even=True, gap_us=2.0)
    assert window(one, 0, alone=True) == Window(0, 11, 11)
    assert window(level, 0, alone=True) == Window(0, 11, 11)
    assert window(behind, 0, alone=True) == Window(1, 11, 11)
    assert window(behind, 0) == Window(0, 11, 11), "others' turns may leave time to catch up"


def test_choose_is_work_conserving() -> None:
    assert chosen(turn(), turn(500)) == Choice(1, 1, 1)
    assert chosen(turn(), turn()) is None


def test_choose_gives_the_turn_to_the_first() -> None:
    assert chosen(turn(400, 500), turn(300)) == Choice(0, 2, 2)


def test_choose_saves_a_head_that_the_turn_would_make_late() -> None:
    # The first takes 11; behind it the second would end at 22, after its 20. The first can wait.
    assert chosen(turn(400), turn(20)) == Choice(1, 1, 1)


def test_choose_keeps_the_turn_when_saving_would_cost_it() -> None:
    assert chosen(turn(15), turn(20)) == Choice(0, 1, 1)


def test_choose_grows_a_batch_as_far_as_its_head_allows() -> None:
    assert chosen(turn(*[30] * 20, batch=4)) == Choice(0, 20, 20)
    assert chosen(turn(*[25] * 20, batch=4)) == Choice(0, 15, 15)


def test_choose_keeps_a_long_batch_from_making_a_neighbour_late() -> None:
    # 32 items would take 42; the neighbour needs 11 before 36, so this batch may take 25.
    assert chosen(turn(*[500] * 32, batch=4), turn(36)) == Choice(0, 15, 15)


def test_choose_leaves_room_for_a_neighbour_whose_queue_is_empty() -> None:
    assert chosen(turn(*[500] * 32, batch=4), turn(budget_us=36)) == Choice(0, 15, 15)


def test_choose_is_not_held_back_by_whom_no_batch_could_save() -> None:
    # Behind the window of 8 (18 us) the neighbour would be late anyhow, and it cannot go first.
    assert chosen(turn(*[43] * 32, batch=4), turn(28, batch=4, table=(0, 27))) == Choice(0, 32, 32)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(20, 200), max_size=20), st.integers(1, 8)),
        min_size=1,
        max_size=4,
    )
)
def test_choose_never_lets_the_chosen_be_late(sessions: list[tuple[list[int], int]]) -> None:
    turns = [turn(*dues, batch=batch) for dues, batch in sessions]
    heads = [window(one, 0) for one in turns]
    for one, head in zip(turns, heads, strict=True):
        assert isinstance(one.waiting, list)
        del one.waiting[: head.dropped]
    choice = choose(turns, heads, 0)
    if choice is None:
        assert not any(one.waiting for one in turns)
        return
    one = turns[choice.turn]
    assert choice.items >= heads[choice.turn].items
    assert one.latencies_us[choice.items] <= one.waiting[0].due_us
