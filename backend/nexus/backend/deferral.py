"""Deferral: how long the batch of a pooled session waits on an idle device.

ADR 0020, after Symphony (nexus.md 4). The owner of a pool sends a backend one batch of a session,
request by request. The batch starts when it is full, or else at the last moment at which one more
item could still have joined it: any earlier and it might have been larger, any later and waiting
gains nothing. What a busy device finds past that moment, when it is free again, starts at once.
"""

from nexus.backend.early_drop import LatencyTable


def start_us(due_us: int, items: int, target: int, latencies_us: LatencyTable) -> int | None:
    """When a batch of ``items`` whose head is due at ``due_us`` starts; None: at once, it is full.

    Never after ``due_us - l(items)``, the latest start, even where l(b) is not monotone.
    """
    if items >= min(target, len(latencies_us) - 1):
        return None
    return due_us - max(latencies_us[items], latencies_us[items + 1])
