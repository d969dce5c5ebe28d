"""Deferral: how long the batch of a pooled session waits on an idle device.

ADR 0020, after Symphony (nexus.md 4). The owner of a pool sends a backend one batch of a session,
request by request. The batch starts when it is full, or else at the last moment at which one more
item could still have joined it: any earlier and it might have been larger, any later and waiting
gains nothing. What a busy device finds past that moment, when it is free again, starts at once.
Where batches of several sessions wait on one device, the first starts in time for all to follow it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from nexus.backend.early_drop import LatencyTable


class Deferred(NamedTuple):
    """A batch that waits: when it must start at the latest, and how long it takes."""

    latest_us: int
    latency_us: int


def start_us(due_us: int, items: int, target: int, latencies_us: LatencyTable) -> int | None:
    """When a batch of ``items`` whose head is due at ``due_us`` starts; None: at once, it is full.

    Never after ``due_us - l(items)``, the latest start, even where l(b) is not monotone.
    """
    if items >= min(target, len(latencies_us) - 1):
        return None
    return due_us - max(latencies_us[items], latencies_us[items + 1])


def first_start_us(batches: Iterable[Deferred]) -> int | None:
    """When the first of several batches must start for all to be in time, one behind the other.

    In the order of their latest starts; None of none.
    """
    start_us: int | None = None
    for batch in sorted(batches, reverse=True):
        follower_us = batch.latest_us + batch.latency_us if start_us is None else start_us
        start_us = min(batch.latest_us, follower_us - batch.latency_us)
    return start_us
