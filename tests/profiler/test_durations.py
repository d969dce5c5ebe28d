"""Quantiles of runs, and when there are enough of them."""

from hypothesis import given
from hypothesis import strategies as st

from nexus.profiler.durations import enough_runs, is_stable, summarise
from nexus.profiler.settings import ProfilerSettings

SETTINGS = ProfilerSettings(
    repeats_floor=5, repeats_min=20, repeats_max=100, stable_ratio=0.02, batch_time_us=1_000_000
)
runs = st.lists(st.integers(0, 10**7), min_size=1, max_size=200)


@given(runs)
def test_summary_quantiles_are_runs_and_in_order(durations_us: list[int]) -> None:
    summary = summarise(durations_us)
    seen = {max(1, duration_us) for duration_us in durations_us}
    assert {summary.p50_us, summary.p95_us, summary.p99_us} <= seen
    assert 0 < summary.p50_us <= summary.p95_us <= summary.p99_us
    within = sum(max(1, us) <= summary.p95_us for us in durations_us)
    assert within >= 0.95 * len(durations_us)


def test_summary_of_a_hundred_runs() -> None:
    summary = summarise(range(1, 101))
    assert (summary.p50_us, summary.p95_us, summary.p99_us) == (50, 95, 99)
    assert (summary.std_us, summary.repeats) == (29, 100)


def test_summary_of_twenty_runs_leaves_the_worst_out() -> None:
    assert summarise([10_000] * 19 + [90_000]).p95_us == 10_000


def test_stable_is_a_matter_of_spread_and_count() -> None:
    assert not is_stable([10_000], 0.02)
    assert is_stable([10_000] * 5, 0.02)
    wide = [9_000, 11_000]
    assert not is_stable(wide * 10, 0.02)
    assert is_stable(wide * 200, 0.02)


def test_enough_runs_when_the_mean_is_known() -> None:
    assert not enough_runs([1_000] * 19, SETTINGS)
    assert enough_runs([1_000] * 20, SETTINGS)


def test_enough_runs_goes_on_to_the_limit_when_runs_differ() -> None:
    differing = [1_000, 9_000] * 50
    assert not enough_runs(differing[:99], SETTINGS)
    assert enough_runs(differing, SETTINGS)


def test_enough_runs_of_a_slow_batch_is_its_floor() -> None:
    assert not enough_runs([900_000] * 4, SETTINGS)
    assert enough_runs([900_000] * 5, SETTINGS)
