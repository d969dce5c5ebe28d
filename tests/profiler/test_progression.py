"""Which batches are measured and when that ends: on the published profiles, and on any at all."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.core.errors import InvalidArgumentError
from nexus.profiler.measurement import BatchRow
from nexus.profiler.progression import (
    GRID_PARTS,
    LEVELLED_OFF,
    TOO_SLOW,
    batch_grid,
    disturbed,
    has_levelled_off,
    reason_to_end,
)
from nexus.profiler.published import read_nexus_text
from nexus.profiler.settings import ProfilerSettings

TITAN_X = Path(__file__).parents[2] / "profiler/profiles/published/nexus-titan-x-pascal"


def rows(*latencies_us: int) -> tuple[BatchRow, ...]:
    return tuple(
        BatchRow(batch=batch, p50_us=us, p95_us=us, p99_us=us)
        for batch, us in enumerate(latencies_us, start=1)
    )


@given(st.integers(1, 2_000), st.integers(1, 64))
def test_batch_grid_ascends_from_one_to_the_largest(max_batch: int, every: int) -> None:
    grid = batch_grid(max_batch, every)
    assert grid[0] == 1
    assert grid[-1] == max_batch
    assert list(grid) == sorted(set(grid))
    assert set(range(1, min(every, max_batch) + 1)) <= set(grid)
    for low, high in itertools.pairwise(grid):
        assert high - low <= max(1, low // GRID_PARTS)


def test_batch_grid_is_short_for_large_batches() -> None:
    assert batch_grid(24, 16) == (*range(1, 17), 18, 20, 22, 24)
    assert len(batch_grid(1024, 16)) < 60


def test_levelled_off_needs_as_many_flat_rows_as_set() -> None:
    growing = rows(10_000, 11_000, 12_000, 13_000)
    assert not has_levelled_off(growing, 0.01, 3)
    flat = rows(10_000, 20_000, 30_000, 40_000)
    assert has_levelled_off(flat, 0.01, 3)
    assert not has_levelled_off(flat[:3], 0.01, 3)


def test_levelled_off_overlooks_a_dip() -> None:
    """VGG-16 on a Titan X serves fewer images a second at batch 2 than at 1, and far more at 16."""
    measured = read_nexus_text(TITAN_X / "vgg16.txt").rows
    assert measured[1].throughput < measured[0].throughput
    flat_batches = ProfilerSettings().flat_batches
    ended = next(n for n in range(1, 175) if has_levelled_off(measured[:n], 0.01, flat_batches))
    best = max(row.throughput for row in measured)
    assert max(row.throughput for row in measured[:ended]) > 0.98 * best


def test_levelled_off_ends_yolo9000_early_for_it_gains_nothing() -> None:
    measured = read_nexus_text(TITAN_X / "yolo9000.txt").rows
    settings = ProfilerSettings()
    ended = next(n for n in range(1, 25) if reason_to_end(measured[:n], settings))
    assert ended <= 16
    best = max(row.throughput for row in measured)
    assert max(row.throughput for row in measured[:ended]) > 0.97 * best


def test_reason_to_end_says_which() -> None:
    settings = ProfilerSettings(latency_cap_us=50_000, flat_batches=3)
    assert reason_to_end(rows(10_000), settings) == ""
    assert reason_to_end(rows(10_000, 50_001), settings) == TOO_SLOW
    assert reason_to_end(rows(10_000, 20_000, 30_000, 40_000), settings) == LEVELLED_OFF


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_batch": 0},
        {"warm_up": -1},
        {"repeats_floor": 30},
        {"repeats_min": 200},
        {"batch_time_us": 0},
    ],
)
def test_settings_that_allow_no_measuring_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidArgumentError, match="profiler settings"):
        ProfilerSettings(**wrong)


def test_disturbed_are_rows_clearly_slower_than_a_larger_batch() -> None:
    assert disturbed(rows(10_000, 11_000, 90_000, 13_000, 14_000)) == (2,)
    assert disturbed(rows(10_000, 11_000, 11_500, 11_000)) == ()
    assert disturbed(rows(80_000, 90_000, 12_000)) == (0, 1)


def test_disturbed_are_rows_with_a_p95_far_from_the_median() -> None:
    wide = BatchRow(batch=2, p50_us=10_000, p95_us=16_000, p99_us=17_000)
    assert disturbed((*rows(9_000), wide)) == (1,)


def test_disturbed_are_rows_slower_than_two_smaller_batches() -> None:
    assert disturbed(rows(10_000, 11_000, 60_000, 61_000)) == (2,)
    assert disturbed(rows(10_000, 20_000, 30_000, 40_000)) == ()


def test_disturbed_looks_across_the_gaps_of_a_grid() -> None:
    sparse = tuple(
        replace(row, batch=batch)
        for row, batch in zip(rows(10_000, 11_000, 12_000, 24_000), (1, 2, 4, 7), strict=True)
    )
    assert disturbed(sparse) == ()
    assert disturbed((*sparse[:3], replace(sparse[3], p95_us=27_000, p99_us=27_000))) == (3,)


def test_disturbed_suspects_few_published_rows() -> None:
    assert disturbed(read_nexus_text(TITAN_X / "yolo9000.txt").rows) == ()
    # Two images really take over twice as long as one there: measured again, it would stay.
    assert disturbed(read_nexus_text(TITAN_X / "vgg16.txt").rows) == (1,)
