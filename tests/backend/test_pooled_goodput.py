"""Pooled backends near saturation and beyond it: full batches, back to back."""

import pytest

from nexus.core.profile import linear_profile
from tests.backend.pooled_backends import PooledBackends

RESNET50 = linear_profile("resnet50", "v100", 750, 7_960, 64)
SLO_US = 50_000
BACKENDS = 8
DURATION_US = 1_000_000

TARGET = RESNET50.largest_batch_within(SLO_US / 1.25)
"""1 + 1/N is the least that staggering needs; 1.25 at N = 8 leaves room for Poisson arrivals."""

CAPACITY = BACKENDS * RESNET50.throughput(TARGET)
"""Items/s of full batches, back to back."""


@pytest.fixture
def pool() -> PooledBackends:
    return PooledBackends(RESNET50, SLO_US, TARGET, BACKENDS)


def test_pool_runs_full_batches_back_to_back_near_saturation(pool: PooledBackends) -> None:
    pool.run(0.97 * CAPACITY, DURATION_US)
    batches = [batch for backend in pool.backends for batch in backend.batches]
    assert pool.good_share() >= 0.99
    assert sum(batch.items for batch in batches) / len(batches) >= 0.97 * TARGET
    busy_us = sum(RESNET50.latency_us(batch.items) for batch in batches)
    assert busy_us >= 0.95 * BACKENDS * DURATION_US


def test_pool_runs_batches_as_large_at_half_the_load(pool: PooledBackends) -> None:
    """Deferral makes the use of devices proportional to the load."""
    pool.run(0.5 * CAPACITY, DURATION_US)
    batches = [batch for backend in pool.backends for batch in backend.batches]
    assert pool.good_share() == 1
    assert sum(batch.items for batch in batches) / len(batches) >= 0.9 * TARGET


def test_pool_keeps_its_goodput_at_twice_the_load(pool: PooledBackends) -> None:
    """Without an owner that refuses: the backends' early drop alone."""
    pool.run(2 * CAPACITY, DURATION_US)
    assert 2 * pool.good_share() >= 0.95


def test_pool_of_one_backend_serves_although_it_waits() -> None:
    """Such pools are not planned, but one is left when the other backends have died."""
    pool = PooledBackends(RESNET50, SLO_US, TARGET, 1)
    pool.run(0.5 * RESNET50.throughput(TARGET), DURATION_US)
    assert pool.good_share() >= 0.99
