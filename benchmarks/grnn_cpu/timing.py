"""Timing contenders in turns, so that whatever else the machine does falls on all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

BLOCK_S = 0.012
"""What one contender runs for before the next has its turn."""
CALLS_MAX = 60
ROUNDS = 7
ROUNDS_MIN = 3
PAUSE_S = 0.003
"""Between turns: lets the threads of the one before go to sleep."""
WARM_BELOW_S = 0.02
"""Calls shorter than this are repeated twice untimed at the start of a turn."""


def medians_us(calls: Mapping[str, Callable[[], Any]], budget_s: float) -> dict[str, float]:
    """The median duration of each call; fewer rounds, but at least 3, once the budget is spent."""
    expected = {name: _once(call) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + budget_s
    for round_ in range(ROUNDS):
        for name, call in calls.items():
            samples[name] += _turn(call, expected[name])
            expected[name] = min(samples[name])
        if round_ + 1 >= ROUNDS_MIN and time.perf_counter() > end:
            break
    return {name: statistics.median(taken) * 1e6 for name, taken in samples.items()}


def _turn(call: Callable[[], Any], expected_s: float) -> list[float]:
    time.sleep(PAUSE_S)
    if expected_s < WARM_BELOW_S:
        call()
        call()
    return [_once(call) for _ in range(max(1, min(CALLS_MAX, int(BLOCK_S / expected_s))))]


def _once(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
