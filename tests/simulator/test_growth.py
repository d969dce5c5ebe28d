"""Between epochs, in the whole simulated cluster: load steps, dead devices, cheaper variants.

The floors are loose: how well it does is for the evaluation to say (docs/evaluation.md).
"""

from collections import Counter
from dataclasses import replace

import pytest

from nexus.core.device import DeviceSpec
from nexus.core.profile import linear_profile
from nexus.core.session import Session
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import Arrivals, Scenario, ScenarioModel, ScenarioSession
from nexus.simulator.ledger import Account
from nexus.simulator.simulated_cluster import SimulatedCluster
from nexus.simulator.simulation import simulate

MODELS = tuple(
    ScenarioModel(
        name=name, profiles={"gpu": linear_profile(name, "gpu", alpha, beta, 32)}, max_batch=32
    )
    for name, alpha, beta in (("large", 2_000, 9_000), ("small", 500, 4_000))
)
STEP_S = 8


def scenario(
    rate: float, factor: float, count: int, *variants: str, duration_s: int = 24
) -> Scenario:
    """One session of the large model within 100 ms; its rate steps up after 8 s."""
    session = Session(model="large", slo_us=100_000, expected_rate=rate, variants=variants)
    step = Arrivals(kind="step", parameters={"at_s": STEP_S, "factor": factor})
    return Scenario(
        name="growth",
        devices=(DeviceSpec(type="gpu", count=count),),
        models=MODELS,
        sessions=(ScenarioSession(session=session, rate=rate, arrivals=step),),
        duration_us=duration_s * US_PER_S,
        frontends=2,
        seed=3,
    )


def bad_fraction(account: Account, from_s: int) -> float:
    """The share not answered in time of what was sent from then on."""
    sent = sum(at_us >= from_s * US_PER_S for at_us in account.sent_at_us)
    good = sum(at_us >= from_s * US_PER_S for at_us in account.good_at_us)
    return 1 - good / sent


def account_of(run: Scenario, kill_at_s: int | None = None) -> tuple[Account, SimulatedCluster]:
    clusters: list[SimulatedCluster] = []

    def during(cluster: SimulatedCluster) -> None:
        clusters.append(cluster)
        if kill_at_s is not None:
            cluster.world.at(kill_at_s * US_PER_S, lambda: kill_one(cluster))

    report = simulate(run, during=during)
    return report.accounts["large@100ms"], clusters[0]


def kill_one(cluster: SimulatedCluster) -> None:
    cluster.kill_backend(
        next(b.backend for b in cluster.plans[-1].backends if any(p.rate > 0 for p in b.placements))
    )


@pytest.mark.parametrize("rate", [250, 900])
def test_growth_follows_a_step_of_half_at_once(rate: float) -> None:
    account, _ = account_of(scenario(rate, 1.5, 8))
    assert bad_fraction(account, STEP_S) < 0.02


def test_growth_without_a_tuner_refuses_until_the_epoch() -> None:
    slow = replace(scenario(900, 2.0, 8), policy="default-without-tuner")
    account, _ = account_of(slow)
    assert bad_fraction(account, STEP_S) > 0.05


def test_growth_replaces_a_dead_device_by_a_spare_within_a_second() -> None:
    account, cluster = account_of(scenario(250, 1.0, 4), kill_at_s=12)
    sent = Counter(at_us // US_PER_S for at_us in account.sent_at_us)
    good = Counter(at_us // US_PER_S for at_us in account.good_at_us)
    bad_seconds = [second for second in sent if good[second] < 0.95 * sent[second]]
    assert len(bad_seconds) <= 2
    assert len(cluster.backends) == 3


def test_growth_steps_down_where_no_device_is_left() -> None:
    refused, _ = account_of(scenario(250, 2.0, 1))
    served, cluster = account_of(scenario(250, 2.0, 1, "small"))
    assert bad_fraction(refused, STEP_S) > 0.15
    assert bad_fraction(served, STEP_S) < 0.05
    (placement,) = cluster.plans[-1].backends[0].placements
    assert (placement.session, placement.model) == ("large@100ms~small", "small")
