"""How many devices a pool needs, and which batches it fills."""

import random

import pytest

from nexus.core.profile import Profile, linear_profile
from nexus.scheduler.demand import Demand
from nexus.scheduler.pool_size import (
    PoolFit,
    PoolRules,
    fit_on,
    load_of,
    own_headroom,
    smallest_fit,
)
from nexus.scheduler.settings import PoolSettings
from tests.scheduler.planning_cases import V100_MS, demand_of

RULES = PoolRules(PoolSettings())
SIZE_MAX = 256


def resnet(rate: float, slo_ms: int = 50, name: str = "") -> Demand:
    profile = linear_profile(name or "resnet", "gpu", 750, 7960, 64)
    return demand_of(profile, slo_ms * 1000, rate, name=name)


def fitted(*demands: Demand, rules: PoolRules = RULES) -> PoolFit:
    fit = smallest_fit(demands, rules, SIZE_MAX)
    assert fit is not None
    return fit


def hard_limit(demand: Demand) -> float:
    """Items/s of one device when the largest batch that the SLO allows runs back to back."""
    return demand.profile.throughput(demand.profile.largest_batch_within(demand.budget_us))


@pytest.mark.parametrize(("members", "share"), [(2, 0.65), (8, 0.88), (32, 0.95)])
def test_pool_size_uses_more_of_its_devices_the_more_there_are(members: int, share: float) -> None:
    demand = resnet(1)
    fit = fitted(demand.at_rate(share * members * hard_limit(demand)))
    assert fit.size == members


def test_pool_size_is_the_smallest_that_does() -> None:
    rng = random.Random(5)
    for _ in range(200):
        alpha_ms, beta_ms = rng.choice(V100_MS)
        profile = linear_profile("m", "gpu", alpha_ms * 1000, beta_ms * 1000, 64)
        slo_us = round(rng.uniform(2.2, 12) * profile.latency_us(1))
        demand = demand_of(profile, slo_us, rng.uniform(5, 5000))
        fit = smallest_fit((demand,), RULES, SIZE_MAX)
        if fit is None:
            continue
        assert fit.needed <= fit.size
        fewer = fit_on((demand,), fit.size - 1, RULES)
        assert fit.size == 2 or fewer is None or fewer.needed > fit.size - 1


def test_pool_size_batches_meet_the_slo_of_every_session() -> None:
    demands = [resnet(900, slo_ms, f"m{slo_ms}") for slo_ms in (40, 60, 90)]
    fit = fitted(*demands)
    for demand, batch in zip(fit.demands, fit.batches, strict=True):
        assert demand.profile.latency_us(batch) + fit.wait_us <= demand.budget_us


def test_pool_size_serves_an_slo_below_two_batches_of_one() -> None:
    tight = resnet(5, slo_ms=12)
    assert not tight.batch, "2 l(1) is more than the SLO"
    fit = fitted(tight)
    assert (fit.size, fit.batches) == (2, (2,))
    assert load_of(resnet(20, slo_ms=8), RULES) is None, "l(1) is"


def test_pool_size_leaves_slack_only_where_sessions_collide() -> None:
    assert fitted(resnet(3000)).slack_us == 0
    pair = fitted(*(resnet(3000, name=name) for name in "ab"))
    crowd = fitted(*(resnet(500, name=name) for name in "abcdefghijkl"))
    assert 0 < pair.slack_us < crowd.slack_us
    assert crowd.slack_us == pytest.approx(crowd.wait_us)


def test_pool_size_grows_by_what_asking_the_owner_takes() -> None:
    demand = resnet(6000)
    asking = PoolRules(PoolSettings(), ask_us=15_000)
    assert fitted(demand, rules=asking).busy > fitted(demand).busy


def test_pool_size_without_caution_plans_for_even_arrivals() -> None:
    demand = resnet(2000)
    bold = fitted(demand, rules=PoolRules(PoolSettings(), caution=0))
    assert bold.needed == pytest.approx(bold.busy)
    assert fitted(demand).needed > bold.needed


def test_pool_size_of_an_uneven_profile_takes_its_best_batch() -> None:
    profile = Profile(model="m", device="gpu", latencies_us=(6_000, 30_000, 31_000, 40_000))
    fit = fitted(demand_of(profile, 33_000, 500))
    assert fit.batches == (1,), "three in 31 ms are fewer than one in 6"


def test_pool_size_says_when_no_number_of_devices_will_do() -> None:
    assert smallest_fit((resnet(20_000),), RULES, 4) is None


def test_pool_size_keeps_a_tight_session_from_batches_that_block_it() -> None:
    tight = resnet(100, slo_ms=25, name="tight")
    patient = demand_of(linear_profile("slow", "gpu", 5000, 50_000, 64), 1_000_000, 20)
    for size in (1, 2):
        assert fit_on((tight, patient), size, RULES) is None, "a batch of 100 ms is often running"
    assert fit_on((tight, patient), 8, RULES) is not None, "hardly ever on all devices"


def test_pool_size_fills_small_batches_as_far_as_chance_may() -> None:
    rare = fitted(resnet(20))
    assert rare.batches[0] >= 2, "two may come at once"
    assert fitted(resnet(2000)).batches[0] > rare.batches[0]


def test_pool_size_keeps_more_free_of_devices_that_few_items_fill() -> None:
    """30 items come to a full device in an SLO of 100 ms: 1 - 1.3 / sqrt(30) of it is planned."""
    profile = linear_profile("m", "gpu", 1_120, 32_330, 64)
    small = demand_of(profile, slo_us=100_000, rate=100)
    large = small.at_rate(400)
    assert own_headroom(small, 0.85, RULES) == 0.85, "its device has time left"
    assert own_headroom(large, 0.85, RULES) == pytest.approx(0.765, abs=0.005)
    assert own_headroom(large, 1.0, PoolRules(RULES.settings, caution=0.0)) == 1.0
