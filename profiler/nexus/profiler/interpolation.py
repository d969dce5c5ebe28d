"""Latencies of batches between measured ones, never too hopeful."""

import itertools
from collections.abc import Mapping


def interpolate(latencies_us: Mapping[int, int]) -> tuple[int, ...]:
    """l(1), l(2), ... up to the largest given batch.

    A batch between two given ones lies on the line between them, but not below the smaller batch's
    latency: real profiles fall here and there, and where is not known between two points. A batch
    below the smallest given one costs as much as that one, to which it can always be padded.
    """
    batches = sorted(latencies_us)
    filled = [latencies_us[batches[0]]] * batches[0]
    for low, high in itertools.pairwise(batches):
        rise = (latencies_us[high] - latencies_us[low]) / (high - low)
        line = (latencies_us[low] + rise * step for step in range(1, high - low))
        filled += [round(max(latencies_us[low], latency_us)) for latency_us in line]
        filled.append(latencies_us[high])
    return tuple(filled)
