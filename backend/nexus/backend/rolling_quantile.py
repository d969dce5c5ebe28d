"""Quantiles of what was measured lately, kept in order as it comes and goes."""

from bisect import bisect_left, insort
from collections import deque


class RollingQuantile:
    """The newest values, at most ``size`` of them."""

    __slots__ = ("_by_age", "_ordered")

    def __init__(self, size: int) -> None:
        """Start with none."""
        self._by_age: deque[tuple[int, float]] = deque(maxlen=size)
        self._ordered: list[float] = []

    def __len__(self) -> int:
        """How many values there are."""
        return len(self._ordered)

    def add(self, now_us: int, value: float) -> None:
        """A value measured at ``now_us``; it takes the place of the oldest when there are many."""
        if len(self._by_age) == self._by_age.maxlen:
            self._forget_oldest()
        self._by_age.append((now_us, value))
        insort(self._ordered, value)

    def forget(self, before_us: int) -> None:
        """Drop what was measured before that."""
        while self._by_age and self._by_age[0][0] < before_us:
            self._forget_oldest()

    def quantile(self, share: float) -> float:
        """The value that ``share`` of the values do not exceed; there must be one."""
        return self._ordered[min(len(self._ordered) - 1, int(share * len(self._ordered)))]

    def _forget_oldest(self) -> None:
        _, value = self._by_age.popleft()
        del self._ordered[bisect_left(self._ordered, value)]
