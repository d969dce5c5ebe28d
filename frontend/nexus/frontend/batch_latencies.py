"""l(b) of a pooled session, and which batches are good enough (ADR 0020)."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

_THRIFT_STEPS = 100


class BatchLatencies:
    """The latency of every batch size, made monotone: a larger batch never counts as faster.

    ``target`` is the batch to fill, ``most`` the largest that may be executed.
    """

    def __init__(self, latencies_us: Sequence[int], target: int) -> None:
        """``latencies_us[b - 1]`` is l(b); a target beyond them is the largest of them."""
        self._table_us = (0, *accumulate(latencies_us, max))
        self._good_enough: dict[tuple[int, int], int] = {}
        self.most = len(latencies_us)
        self.target = min(target, self.most)

    def of(self, items: int) -> int:
        """l(items) in us; what exceeds the largest batch counts as the largest."""
        return self._table_us[items] if items <= self.most else self._table_us[-1]

    def largest_within(self, left_us: int, gap_us: float) -> int:
        """The largest b <= target that is gathered and executed in time; at least 1.

        (b - 1) * gap + l(b) <= left, where ``gap_us`` is the time between two items.
        """
        sizes = range(1, self.target + 1)
        found = bisect_right(
            sizes, left_us, key=lambda b: int((b - 1) * gap_us) + self._table_us[b]
        )
        return max(1, found)

    def good_enough(self, items: int, thrift: float) -> int:
        """The smallest batch with ``thrift`` of the throughput of a batch of ``items``."""
        key = (items, round(thrift * _THRIFT_STEPS))
        found = self._good_enough.get(key)
        if found is None:
            found = self._good_enough[key] = self._smallest(items, key[1] / _THRIFT_STEPS)
        return found

    def _smallest(self, items: int, thrift: float) -> int:
        wanted = thrift * items / self.of(items)
        return next(b for b in range(1, items + 1) if b >= wanted * self._table_us[b])
