"""Interpolation: exact where it is known, never below the smaller batch, never above the line."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.profiler.interpolation import interpolate

latencies = st.dictionaries(st.integers(1, 60), st.integers(1, 10**7), min_size=1)


@given(latencies)
def test_interpolation_keeps_what_is_given(given_us: dict[int, int]) -> None:
    filled = interpolate(given_us)
    assert len(filled) == max(given_us)
    assert all(filled[batch - 1] == latency_us for batch, latency_us in given_us.items())


@given(latencies)
def test_interpolation_lies_between_its_neighbours_and_not_below_the_smaller(
    given_us: dict[int, int],
) -> None:
    filled = interpolate(given_us)
    for batch in range(1, max(given_us) + 1):
        above = given_us[min(b for b in given_us if b >= batch)]
        below = given_us[max((b for b in given_us if b <= batch), default=min(given_us))]
        assert below <= filled[batch - 1] <= max(below, above)


def test_interpolation_of_a_line_is_the_line() -> None:
    assert interpolate({1: 10, 5: 50}) == (10, 20, 30, 40, 50)


def test_interpolation_does_not_hope_before_a_fall() -> None:
    assert interpolate({1: 100, 4: 70, 5: 71}) == (100, 100, 100, 70, 71)


def test_interpolation_pads_below_the_smallest() -> None:
    assert interpolate({3: 30}) == (30, 30, 30)
