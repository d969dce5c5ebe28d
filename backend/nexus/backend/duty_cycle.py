"""The duty cycle: which session runs next, and how large a batch.

Paper, sections 4.1 and 6.3, with ADR 0013. The sessions of a device take turns. The turn never
waits: not for the cycle's end, not for a batch to fill, unless the session is pooled
(``deferral.py``). It departs from the round only to save another session's head that would be late
behind this one, when this one can wait; and among pooled sessions, whose batches wait for their
last moment, to let the one go first whose moment ends first, or, where not all can be in time, the
one behind which the least is lost. A batch grows beyond its window as far as its head's deadline
allows, but not so far that it makes the head of another session late (nexus.md 2.8, weakness 5).

The batch of a session that runs by chunks (``chunks.py``) ends with its chunk, and the duty cycle
chooses anew; what has begun goes on in the session's next batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nexus.backend import chunks, deferral
from nexus.backend.begun import Begun
from nexus.backend.deferral import Deferred
from nexus.backend.dispatch_queue import Queued, prefix
from nexus.backend.early_drop import (
    SAVING_THROUGHPUT_MIN,
    SAVING_THROUGHPUT_MIN_ALONE,
    LatencyTable,
    Window,
    largest_batch,
    slide,
)

WINDOW_FACTOR = 2
"""The window in planned batches. A plan lets a batch take half of the SLO, as its head may have
waited for one; the head of a queue that keeps up has more than that left."""

CANDIDATES_MAX = 8
"""So many of the most urgent batches may go first where not all can be in time."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One session as the duty cycle sees it.

    ``waiting`` is in order of due times; ``batch`` the planned batch; ``budget_us`` what a dispatch
    that arrives now would have for waiting and execution. ``pooled``: its batches are deferred, and
    start ``early_us`` before their last moment. ``gap_us`` is the mean time between two items;
    ``even``: all of them are foretold to come at equal gaps.
    ``chunk_us``: its batches are chunks of so long (0: whole), in which ``begun`` go on first.
    """

    waiting: Sequence[Queued]
    batch: int
    budget_us: int
    latencies_us: LatencyTable
    pooled: bool = False
    early_us: int = 0
    gap_us: float = 1.0
    even: bool = False
    begun: Sequence[Begun] = ()
    chunk_us: int = 0


class Choice(NamedTuple):
    """Execute the ``taken`` most urgent dispatches of turn number ``turn``: ``items`` items.

    Beside what has begun of that turn.
    """

    turn: int
    taken: int
    items: int


def window(
    turn: Turn, now_us: int, *, deferring: bool = False, alone: bool = False, behind_us: int = 0
) -> Window:
    """The session's sliding window; the caller drops what it passed over.

    ``deferring``: the device was idle by choice, waiting for batches to fill. ``alone``:
    no other session has turns on it. ``behind_us``: how long the others have it after this turn, if
    that has begun.
    """
    # What waited on an idle device is not behind: saving it by however small a batch is not lazy.
    if turn.pooled and deferring:
        throughput_min = 0.0
    else:
        throughput_min = SAVING_THROUGHPUT_MIN_ALONE if alone else SAVING_THROUGHPUT_MIN
    if turn.begun:
        return chunks.joining(
            turn.begun,
            turn.waiting,
            now_us,
            turn.latencies_us,
            window_items=window_items(turn),
            throughput_min=throughput_min,
            behind_us=behind_us,
        )
    return slide(
        turn.waiting,
        now_us,
        window_items(turn),
        turn.latencies_us,
        throughput_min=throughput_min,
        # What comes evenly never lets up: no batch that falls behind it is ever caught up with.
        item_us_max=turn.gap_us if alone and turn.even else math.inf,
    )


def window_items(turn: Turn) -> int:
    """How wide the window is. A pooled session's planned batch is all that its SLO allows."""
    items = turn.batch if turn.pooled else WINDOW_FACTOR * turn.batch
    return min(items, len(turn.latencies_us) - 1)


def choose(turns: Sequence[Turn], heads: Sequence[Window], now_us: int) -> Choice | None:
    """The next batch; None when nothing waits, or only batches that are better deferred.

    ``turns`` begin with the session whose turn it is; ``heads`` are their windows after the drop.
    """
    ready = [index for index in range(len(turns)) if _startable(turns[index], heads[index], now_us)]
    if not ready:
        ready = _pressed(turns, heads, now_us)
    if not ready:
        return None
    index = _rescue(turns, heads, _first(turns, heads, ready, now_us), now_us)
    taken, items = _extend(turns, heads, index, now_us)
    return Choice(index, taken, items)


def start_us(turn: Turn, taken: int, items: int) -> int | None:
    """When the deferred batch of ``taken`` dispatches with ``items`` starts; None: at once."""
    if taken < len(turn.waiting):
        return None  # No more fits.
    head_us = turn.waiting[0].due_us - turn.early_us
    return deferral.start_us(head_us, items, turn.batch, turn.latencies_us)


def _runs(turn: Turn, head: Window) -> bool:
    """Whether there is anything of it to run."""
    return head.taken > 0 or len(turn.begun) > 0


def _startable(turn: Turn, head: Window, now_us: int) -> bool:
    if not head.taken or not turn.pooled:
        return _runs(turn, head)
    at_us = start_us(turn, head.taken, head.items)
    return at_us is None or at_us <= now_us


def _pressed(turns: Sequence[Turn], heads: Sequence[Window], now_us: int) -> list[int]:
    """The turn that must start now for those behind it, although it could wait by itself."""
    rivals = _by_latest_start(turns, heads)
    start_us = deferral.first_start_us(
        deferred(turns[index], heads[index].items) for index in rivals
    )
    return rivals[:1] if start_us is not None and start_us <= now_us else []


def deferred(turn: Turn, items: int) -> Deferred:
    """The waiting batch of ``items``, to be ended ``early_us`` before its head is due."""
    latency_us = turn.latencies_us[items]
    return Deferred(turn.waiting[0].due_us - turn.early_us - latency_us, latency_us)


def _first(
    turns: Sequence[Turn], heads: Sequence[Window], ready: Sequence[int], now_us: int
) -> int:
    """Whose turn it is; among pooled sessions, whose latest start is the earliest.

    Where that would make others late, whoever costs them the least goes first: one large batch
    started in haste, to lose none of it, may cost whole batches behind it. Among equals the turn
    decides: an overload must starve nobody.
    """
    if not turns[ready[0]].pooled:
        return ready[0]
    rivals = _by_latest_start(turns, heads)
    urgent = [index for index in rivals if index in ready][:CANDIDATES_MAX]
    if len(rivals) == 1 or not _loss(turns, heads, urgent[0], rivals, now_us):
        return urgent[0]
    in_turn = sorted(urgent)
    return min(in_turn, key=lambda index: _loss(turns, heads, index, rivals, now_us))


def _by_latest_start(turns: Sequence[Turn], heads: Sequence[Window]) -> list[int]:
    """The pooled turns that have something to run."""
    rivals = [index for index, turn in enumerate(turns) if turn.pooled and heads[index].taken]
    return sorted(
        rivals, key=lambda index: turns[index].waiting[0].due_us - _latency_us(turns, heads, index)
    )


def _loss(
    turns: Sequence[Turn],
    heads: Sequence[Window],
    first: int,
    rivals: Sequence[int],
    now_us: int,
) -> float:
    """What is lost of the others, when they follow ``first`` by their latest starts: in us.

    Each item counts as the time in which another of its session comes, so that a batch of a rare
    session is worth as much as that of a frequent one.
    """
    lost = 0.0
    free_us = now_us + _latency_us(turns, heads, first)
    for index in rivals:
        if index == first:
            continue
        turn, items = turns[index], heads[index].items
        if free_us + turn.latencies_us[items] > turn.waiting[0].due_us:
            window = slide(turn.waiting, free_us, window_items(turn), turn.latencies_us)
            lost += _items(turn.waiting[: window.dropped]) * turn.gap_us
            items = window.items
        free_us += turn.latencies_us[items]
    return lost


def _items(dispatches: Sequence[Queued]) -> int:
    return sum(dispatch.items for dispatch in dispatches)


def _rescue(turns: Sequence[Turn], heads: Sequence[Window], first: int, now_us: int) -> int:
    """Whose turn it is, or the most pressed of those whom that turn would make late in vain."""
    first_end_us = now_us + _latency_us(turns, heads, first)
    spare_us = _latest_us(turns[first], heads[first]) - now_us
    if turns[first].chunk_us:
        first_end_us = min(first_end_us, now_us + turns[first].chunk_us)
    best, best_latest_us = first, None
    for index, head in enumerate(heads):
        if index == first or not _runs(turns[index], head):
            continue
        latest_us = _latest_us(turns[index], head)
        saved = first_end_us > latest_us and _latency_us(turns, heads, index) <= spare_us
        if saved and (best_latest_us is None or latest_us < best_latest_us):
            best, best_latest_us = index, latest_us
    return best


def _extend(
    turns: Sequence[Turn], heads: Sequence[Window], index: int, now_us: int
) -> tuple[int, int]:
    """The batch of session ``index``: its window, or more where nobody is harmed by it."""
    turn, window = turns[index], heads[index]
    if window.taken == len(turn.waiting) or turn.begun:
        return window.taken, window.items
    head_us = turn.waiting[0].due_us - now_us
    slack_us = _slack_us(turns, heads, index, now_us)
    items_max = largest_batch(min(head_us, slack_us), len(turn.latencies_us) - 1, turn.latencies_us)
    taken, items = prefix(turn.waiting, 0, items_max)
    # l(b) need not be monotone, and whole dispatches may fall short of the batch looked for.
    if items <= window.items or turn.latencies_us[items] > head_us:
        return window.taken, window.items
    return taken, items


def _slack_us(turns: Sequence[Turn], heads: Sequence[Window], index: int, now_us: int) -> int:
    """How long session ``index`` may run without making another's head late.

    The others follow in order of due times. One that would be late behind the bare window
    already is past saving by a shorter batch, and sets no limit. One with an empty queue counts as
    if a dispatch arrived just after the start.
    """
    base_us = _latency_us(turns, heads, index)
    slack_us = turns[index].waiting[0].due_us - now_us
    queued_us = 0
    others = [other for other in range(len(turns)) if other != index]
    for other in sorted(others, key=lambda o: _due_us(turns[o], now_us)):
        if _runs(turns[other], heads[other]):
            spare_us = _latest_us(turns[other], heads[other]) - now_us - queued_us
            queued_us += _latency_us(turns, heads, other)
        else:
            spare_us = turns[other].budget_us - turns[other].latencies_us[1]
        if spare_us >= base_us:
            slack_us = min(slack_us, spare_us)
    return slack_us


def _due_us(turn: Turn, now_us: int) -> int:
    head_us = turn.waiting[0].due_us if turn.waiting else now_us + turn.budget_us
    return min([head_us, *(one.queued.due_us for one in turn.begun)]) if turn.begun else head_us


def _latest_us(turn: Turn, head: Window) -> int:
    """When the turn must start at the latest, for all who run with it to be in time."""
    if not turn.begun:
        return turn.waiting[0].due_us - turn.latencies_us[head.items]
    begun_us = chunks.latest_us(turn.begun, head.items, turn.latencies_us)
    if not head.taken:
        return begun_us
    together = chunks.items_of(turn.begun) + head.items
    return min(begun_us, turn.waiting[0].due_us - chunks.latency_of(turn.latencies_us, together))


def _latency_us(turns: Sequence[Turn], heads: Sequence[Window], index: int) -> int:
    """How long the turn's batch takes; one by chunks, until the last of them ends."""
    turn, items = turns[index], heads[index].items
    if turn.begun:
        return chunks.needed_us(turn.begun, items, turn.latencies_us)
    return turn.latencies_us[items]
