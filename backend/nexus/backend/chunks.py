"""Batches by chunks: who of those that have begun is given up, and who of those that wait joins.

ADR 0028. A dispatch that has begun needs the share of l(b) that is left of it. It stays until
it is finished, and others join it between two chunks, but only so many that all who have begun are
still in time: what has been put into them would be lost.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nexus.backend.begun import Begun
from nexus.backend.dispatch_key import DispatchKey
from nexus.backend.dispatch_queue import Queued, prefix
from nexus.backend.early_drop import LatencyTable, Window, has_throughput, largest_batch

ROUNDING_US = 1e-6
"""What adding up shares may have added to a time."""


def whole_us(time_us: float) -> int:
    """The next whole microsecond, but for ROUNDING_US."""
    return math.ceil(time_us - ROUNDING_US)


class Chunk(NamedTuple):
    """What the device does next for a group: advance ``begun``, which takes ``busy_us``.

    It ends with the last step of ``ends_with``, if that comes before.
    """

    begun: tuple[Begun, ...]
    busy_us: int
    ends_with: DispatchKey | None


def chunk_of(
    begun: tuple[Begun, ...], now_us: int, chunk_us: int, latencies_us: LatencyTable
) -> Chunk:
    """A chunk of these that takes ``chunk_us``, or less where somebody would be late by that.

    Who ends within a chunk is answered at its end.
    """
    latency_us = latency_of(latencies_us, items_of(begun))
    busy_us = min(chunk_us, needed_us(begun, 0, latencies_us))
    pressed = [
        one
        for one in begun
        if one.left * latency_us < busy_us and one.queued.due_us < now_us + busy_us
    ]
    if not pressed:
        return Chunk(begun, busy_us, None)
    first = min(pressed, key=lambda one: one.left)
    return Chunk(begun, whole_us(first.left * latency_us), first.queued.key)


def items_of(begun: Sequence[Begun]) -> int:
    """The items of all of them."""
    return sum([one.queued.items for one in begun])


def latency_of(latencies_us: LatencyTable, items: int) -> int:
    """l(items); of more than were profiled, as of the most: they began by another profile."""
    return latencies_us[min(items, len(latencies_us) - 1)]


def needed_us(begun: Sequence[Begun], joining_items: int, latencies_us: LatencyTable) -> int:
    """How long they take to their end, together with so many items that begin now."""
    latency_us = latency_of(latencies_us, items_of(begun) + joining_items)
    left = 1.0 if joining_items else max([one.left for one in begun], default=0.0)
    return whole_us(left * latency_us)


def latest_us(begun: Sequence[Begun], joining_items: int, latencies_us: LatencyTable) -> int:
    """When they must go on at the latest, for all to be in time beside so many items more."""
    latency_us = latency_of(latencies_us, items_of(begun) + joining_items)
    return min(one.queued.due_us - whole_us(one.left * latency_us) for one in begun)


def expiry_us(one: Begun, latencies_us: LatencyTable) -> int:
    """The first moment at which it cannot be in time even if it goes on alone."""
    alone_us = whole_us(one.left * latency_of(latencies_us, one.queued.items))
    return one.queued.due_us - alone_us + 1


def belated(begun: Sequence[Begun], now_us: int, latencies_us: LatencyTable) -> list[Begun]:
    """Whom to give up: those that end late if nobody joins any more, the most belated first.

    Each that goes leaves the others faster.
    """
    staying = sorted(begun, key=lambda one: one.left)
    given_up = []
    while staying:
        ends_us = _ends_us(staying, now_us, latencies_us)
        late_us, index = max(
            (end_us - one.queued.due_us, index)
            for index, (one, end_us) in enumerate(zip(staying, ends_us, strict=True))
        )
        if late_us < 1:
            break
        given_up.append(staying.pop(index))
    return given_up


def joining(
    begun: Sequence[Begun],
    waiting: Sequence[Queued],
    now_us: int,
    latencies_us: LatencyTable,
    *,
    window_items: int,
    throughput_min: float,
    behind_us: int = 0,
) -> Window:
    """Which of ``waiting`` (in order of due times) join, and which of them are passed over.

    As ``early_drop.slide``, with the window filled by those that have begun before.

    Args:
        begun: At least one.
        waiting: The queue.
        now_us: The time.
        latencies_us: l(b).
        window_items: How many items may be together.
        throughput_min: A company that is smaller, to save a head, must have this share of the
            window's throughput.
        behind_us: How long others will have the device before those who join now are finished.
    """
    company = items_of(begun)
    bearable_us = min((one.queued.due_us - now_us) / one.left for one in begun)
    bearable = largest_batch(bearable_us, len(latencies_us) - 1, latencies_us)
    room = min(window_items, bearable) - company
    for dropped, head in enumerate(waiting):
        taken, items = prefix(waiting, dropped, room)
        if not taken:
            return Window(dropped, 0, 0)  # It waits for somebody to leave.
        # Whoever could bear no more than the few who are here now would keep them few.
        together = company + prefix(waiting, dropped, window_items - company)[1]
        budget_us, latency_us = head.due_us - now_us, latencies_us[together]
        if behind_us and latency_us + behind_us > budget_us:
            return Window(dropped, 0, 0)  # It waits for the next turn.
        if latency_us <= budget_us:
            return Window(dropped, taken, items)
        fewer = largest_batch(budget_us, together, latencies_us)
        taken, items = prefix(waiting, dropped, min(room, fewer - company))
        if taken and has_throughput(fewer, together, latencies_us, throughput_min):
            return Window(dropped, taken, items)
    return Window(len(waiting), 0, 0)


def _ends_us(begun: Sequence[Begun], now_us: int, latencies_us: LatencyTable) -> Iterator[float]:
    """When each of them ends, if nobody joins; ``begun`` in order of what is left."""
    end_us, done, items = float(now_us), 0.0, items_of(begun)
    for one in begun:
        end_us += (one.left - done) * latency_of(latencies_us, items)
        yield end_us
        done = one.left
        items -= one.queued.items
