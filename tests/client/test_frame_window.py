"""Back-pressure of frame streams: newest kept, order kept, nothing lost uncounted."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.client.frame_window import FrameWindow, StreamCounts
from nexus.core.errors import InvalidArgumentError


def test_frame_window_newest_frame_replaces_the_waiting_one() -> None:
    window: FrameWindow[str, str] = FrameWindow(in_flight=1)
    window.offer("a")
    assert window.take() == (0, "a")
    window.offer("b")
    assert window.take() is None
    window.offer("c")
    assert window.answer(0, "A") == ("A",)
    assert window.take() == (2, "c")
    assert window.counts == StreamCounts(offered=3, replaced=1, sent=2, answered=1)


def test_frame_window_keep_all_makes_the_source_wait() -> None:
    window: FrameWindow[str, str] = FrameWindow(keep="all", in_flight=1)
    window.offer("a")
    assert not window.wants_frame
    window.take()
    assert window.wants_frame


def test_frame_window_hands_answers_out_in_frame_order() -> None:
    window: FrameWindow[str, str] = FrameWindow(in_flight=3)
    for frame in "abc":
        window.offer(frame)
        window.take()
    assert window.answer(2, "C") == ()
    window.offer("d")
    assert window.take() is None, "an answer that waits for its turn holds its place"
    assert window.answer(0, "A") == ("A",)
    assert window.answer(1, "B") == ("B", "C")
    assert not window.done


def test_frame_window_is_done_when_closed_and_all_is_answered() -> None:
    window: FrameWindow[str, str] = FrameWindow()
    window.offer("a")
    window.closed = True
    assert not window.done
    window.take()
    assert not window.done
    window.answer(0, "A")
    assert window.done


@pytest.mark.parametrize(("keep", "in_flight"), [("oldest", 1), ("all", 0), ("all", 257)])
def test_frame_window_refuses_settings_out_of_range(keep: str, in_flight: int) -> None:
    with pytest.raises(InvalidArgumentError):
        FrameWindow(keep=keep, in_flight=in_flight)  # type: ignore[arg-type] # that is the test


@given(
    moves=st.lists(st.sampled_from(["offer", "take", "answer"]), max_size=60),
    choice=st.randoms(use_true_random=False),
    in_flight=st.integers(1, 4),
)
def test_frame_window_accounts_for_every_frame(
    moves: list[str], choice: random.Random, in_flight: int
) -> None:
    window: FrameWindow[int, int] = FrameWindow(in_flight=in_flight)
    unanswered: list[int] = []
    handed_out: list[int] = []
    taken: list[int] = []

    def take() -> None:
        if (frame := window.take()) is not None:
            taken.append(frame[0])
            unanswered.append(frame[0])
            assert len(unanswered) <= in_flight

    def answer() -> None:
        if unanswered:
            number = unanswered.pop(choice.randrange(len(unanswered)))
            handed_out.extend(window.answer(number, number))

    for move in moves:
        {"offer": lambda: window.offer(0), "take": take, "answer": answer}[move]()
    window.closed = True
    while not window.done:
        take()
        answer()
    assert handed_out == taken == sorted(taken)
    counts = window.counts
    assert counts.offered == counts.replaced + counts.sent
    assert counts.sent == counts.answered == len(handed_out)
