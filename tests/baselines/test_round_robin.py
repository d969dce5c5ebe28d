"""Deficit round-robin: shares in proportion to rates, interleaved."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nexus.simulator.baselines.round_robin import DeficitRoundRobin

ROUNDS = 2_000


@given(st.lists(st.floats(0.5, 50), min_size=1, max_size=6))
def test_round_robin_shares_follow_the_rates(rates: list[float]) -> None:
    robin = DeficitRoundRobin(range(len(rates)), rates)
    counts = Counter(robin.pick() for _ in range(ROUNDS))
    for target, rate in enumerate(rates):
        expected = ROUNDS * rate / sum(rates)
        assert abs(counts[target] - expected) <= 2 + 0.01 * expected


def test_round_robin_of_equal_rates_takes_turns() -> None:
    robin = DeficitRoundRobin((7, 8, 9), (5.0, 5.0, 5.0))
    assert [robin.pick() for _ in range(6)] == [7, 8, 9, 7, 8, 9]


def test_round_robin_never_bursts_to_a_much_larger_share() -> None:
    robin = DeficitRoundRobin((0, 1, 2), (100.0, 100.0, 1.0))
    picks = [robin.pick() for _ in range(100)]
    assert all(first != second for first, second in pairwise(picks))
