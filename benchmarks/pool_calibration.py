"""How many devices pools need: random sessions, planned by several settings, then simulated.

Nothing here is taken from the evaluation: profiles, SLOs and rates are random. For every setting it
prints the devices planned, the lower bound as a share of them and of the time they were busy, and
the worst session. ADR 0023 says what was chosen by it.
"""

import argparse
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nexus.core.device import DeviceSpec
from nexus.core.profile import Profile, linear_profile
from nexus.core.session import Session
from nexus.core.units import US_PER_S, us_from_ms
from nexus.scheduler.plan_scenario import plan_scenario
from nexus.scheduler.scenario import Scenario, ScenarioModel, ScenarioSession
from nexus.scheduler.settings import DEFAULT, POLICIES, PlannerSettings, PoolSettings
from nexus.simulator.simulation import simulate

DEVICE = "gpu"
BATCH_MAX = 64
REQUESTS = 30_000
"""Per simulation; sessions with fewer than ``COUNTED`` of them are not judged."""
COUNTED = 300
GOOD = 0.99


@dataclass(frozen=True, slots=True)
class Mix:
    """So many sessions, the load of so many devices, the longest SLO over the shortest."""

    sessions: int
    load: float
    spread: float


MIXES = (
    Mix(1, 8, 1),
    Mix(3, 8, 2),
    Mix(6, 8, 2),
    Mix(12, 5, 2),
    Mix(12, 10, 1.2),
    Mix(12, 10, 4),
    Mix(24, 12, 2),
    Mix(40, 12, 3),
)
SETTINGS: dict[str, PlannerSettings] = {
    "default": DEFAULT,
    "half the collisions": replace(DEFAULT, pools=PoolSettings(collision=2.0, margin=1.0)),
    "less margin": replace(DEFAULT, pools=PoolSettings(margin=0.8)),
    "a quarter of both": replace(DEFAULT, pools=PoolSettings(collision=1.0, margin=0.8)),
    "default-without-pools": POLICIES["default-without-pools"],
}


@dataclass(frozen=True, slots=True)
class Result:
    """Of one simulation: devices planned, busy, and at the least; the worst session's share."""

    planned: int
    busy: float
    bound: float
    worst: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for every setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="mixes of each kind")
    given = parser.parse_args(arguments)
    print(f"{'setting':24} devices  bound/planned  bound/busy  worst, mean  >= 99 %")
    for name, settings in SETTINGS.items():
        results = [
            tried(scenario_of(mix, seed), name, settings)
            for mix in MIXES
            for seed in range(1, given.seeds + 1)
        ]
        bound = sum(result.bound for result in results)
        good = sum(result.worst >= GOOD for result in results)
        print(
            f"{name:24} {sum(r.planned for r in results):7}  "
            f"{bound / sum(r.planned for r in results):13.3f}  "
            f"{bound / sum(r.busy for r in results):10.3f}  "
            f"{statistics.mean(r.worst for r in results):11.4f}  {good:3} of {len(results)}"
        )


def tried(scenario: Scenario, name: str, settings: PlannerSettings) -> Result:
    """Plan with as many devices as that takes, then simulate on just as many."""
    POLICIES[name] = settings
    planned = sum(plan_scenario(scenario, name).plan.devices_needed.values())
    devices = (DeviceSpec(type=DEVICE, count=planned),)
    report = simulate(replace(scenario, devices=devices, policy=name))
    worst = min(
        account.good_fraction for account in report.sessions.values() if account.offered >= COUNTED
    )
    bound = sum(report.lower_bound.values())
    return Result(planned=planned, busy=report.devices_used, bound=bound, worst=worst)


def scenario_of(mix: Mix, seed: int) -> Scenario:
    """Random profiles, SLOs and shares of the load; all arrivals are Poisson."""
    draw = random.Random(seed)  # noqa: S311 - reproducible
    shortest_ms = math.exp(draw.uniform(math.log(20), math.log(400)))
    slos_ms = [shortest_ms * mix.spread ** draw.random() for _ in range(mix.sessions)]
    profiles = [_profile(f"m{index}", slo_ms, draw) for index, slo_ms in enumerate(slos_ms)]
    weights = [math.exp(draw.uniform(-1.5, 1.5)) for _ in profiles]
    rates = [
        mix.load * weight / sum(weights) * profile.best_throughput
        for weight, profile in zip(weights, profiles, strict=True)
    ]
    return Scenario(
        name=f"{mix.sessions} sessions, seed {seed}",
        devices=(DeviceSpec(type=DEVICE),),
        models=tuple(
            ScenarioModel(name=one.model, profiles={DEVICE: one}, max_batch=BATCH_MAX)
            for one in profiles
        ),
        sessions=tuple(
            ScenarioSession(
                session=Session(model=one.model, slo_us=us_from_ms(slo_ms), expected_rate=rate),
                rate=rate,
            )
            for one, slo_ms, rate in zip(profiles, slos_ms, rates, strict=True)
        ),
        seed=seed,
        duration_us=round(min(20.0, REQUESTS / sum(rates)) * US_PER_S),
    )


def _profile(model: str, slo_ms: float, draw: random.Random) -> Profile:
    """l(1) is a fifteenth to two fifths of the SLO; its fixed part 0.5 to 40 times alpha."""
    first_us = us_from_ms(slo_ms / draw.uniform(2.5, 15))
    ratio = math.exp(draw.uniform(math.log(0.5), math.log(40)))
    alpha_us = first_us / (1 + ratio)
    return linear_profile(model, DEVICE, alpha_us, first_us - alpha_us, BATCH_MAX)


if __name__ == "__main__":
    main()
