"""Clocks. Engines take ``now_us`` as an argument; shells ask one of these."""

import time
from typing import Protocol


class Clock(Protocol):
    """Microseconds that only grow. The zero is arbitrary, and differs between machines."""

    def now_us(self) -> int:
        """The present."""
        ...


class MonotonicClock:
    """The real clock of this machine."""

    def now_us(self) -> int:
        """CLOCK_MONOTONIC in microseconds."""
        return time.monotonic_ns() // 1_000


class VirtualClock:
    """A clock that a test or the simulator moves by hand."""

    def __init__(self, now_us: int = 0) -> None:
        """Start at ``now_us``."""
        self._now_us = now_us

    def now_us(self) -> int:
        """The present."""
        return self._now_us

    def advance_to(self, now_us: int) -> None:
        """Move forward; moving back is a programmer's error."""
        assert now_us >= self._now_us, (now_us, self._now_us)
        self._now_us = now_us
