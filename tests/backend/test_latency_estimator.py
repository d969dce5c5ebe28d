"""The profile, corrected by what was measured, and only for as long as it was measured lately."""

from nexus.backend.latency_estimator import (
    BATCH_SAMPLES_MIN,
    CORRECTION_MAX,
    FORGET_US,
    LatencyEstimator,
)
from nexus.core.cluster import MeasuredLatency
from nexus.core.profile import Profile

PROFILE = Profile(model="toy", device="v100", latencies_us=(1_000, 1_500, 2_000))


def measured(factor: float, batches: tuple[int, ...] = (2,), times: int = 32) -> LatencyEstimator:
    estimator = LatencyEstimator(PROFILE)
    for _ in range(times):
        for batch in batches:
            estimator.observe(batch, round(PROFILE.latency_us(batch) * factor), 0)
    return estimator


def test_estimator_believes_the_profile_at_first() -> None:
    assert LatencyEstimator(PROFILE).latencies_us == [0, 1_000, 1_500, 2_000]
    assert measured(3.0, times=8).latencies_us == [0, 1_000, 1_500, 2_000]


def test_estimator_scales_unmeasured_batches_by_the_measured_ratio() -> None:
    assert measured(1.2).latencies_us == [0, 1_200, 1_800, 2_400]


def test_estimator_takes_a_measured_batch_at_its_own_quantile() -> None:
    estimator = LatencyEstimator(PROFILE)
    for _ in range(32):
        estimator.observe(1, 1_000, 0)
        estimator.observe(3, 3_000, 0)
    assert estimator.latencies_us == [0, 1_000, 2_250, 3_000]
    assert estimator.measured() == (
        MeasuredLatency("toy", 1, 1_000),
        MeasuredLatency("toy", 3, 3_000),
    )


def test_estimator_ignores_a_rare_stall() -> None:
    estimator = measured(1.0, times=40)
    estimator.observe(2, 50_000, 0)
    estimator.refresh(0)
    assert estimator.latencies_us == [0, 1_000, 1_500, 2_000]


def test_estimator_forgets_so_that_it_cannot_starve_itself() -> None:
    estimator = measured(3.0)
    estimator.refresh(FORGET_US + 1)
    assert estimator.latencies_us == [0, 1_000, 1_500, 2_000]
    assert estimator.measured() == ()


def test_estimator_bounds_its_correction() -> None:
    assert measured(100.0).latencies_us[1] == 1_000 * CORRECTION_MAX


def test_estimator_reports_only_what_was_measured_often() -> None:
    assert measured(1.0, times=BATCH_SAMPLES_MIN - 1).measured() == ()
