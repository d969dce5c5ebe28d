"""What a stage of a query costs in devices, as a function of the budget it is given.

The c_v(t) of the SLO split: non-increasing steps over budgets 0..segments, infinite where no batch
size fits. The paper's form is R_v / T_v(t), with T_v(t) the best throughput among the batches that
a budget t allows (nexus.md 2.5).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nexus.core.profile import Profile
from nexus.core.units import US_PER_S
from nexus.scheduler.settings import StageCost

Curve = tuple[float, ...]
"""Cost by budget in segments; ``curve[t]`` for t in 0..segments."""

INFINITE = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOption:
    """One device type that could run a stage: its profile, batch cap, price and overheads."""

    profile: Profile
    batch_cap: int
    price: float = 1.0
    network_us: int = 0

    @property
    def overhead_us(self) -> int:
        """What is taken off the budget before the device sees it."""
        return self.network_us + self.profile.preprocess_us + self.profile.postprocess_us


def cost_curve(
    options: Iterable[StageOption], rate: float, *, epsilon_us: int, segments: int, cost: StageCost
) -> Curve:
    """The cheapest option's cost at every budget, made non-increasing."""
    curve = [INFINITE] * (segments + 1)
    for option in options:
        _lower(curve, option, rate, epsilon_us, cost)
    best = INFINITE
    for budget in range(segments + 1):
        best = min(best, curve[budget])
        curve[budget] = best
    return tuple(curve)


def need_us(profile: Profile, batch: int, rate: float, cost: StageCost) -> float:
    """The least budget, overheads aside, in which this batch size is of use."""
    latency_us = profile.latency_us(batch)
    if cost is StageCost.PLAIN:
        return latency_us
    if cost is StageCost.SATURATED:
        return 2 * latency_us
    return latency_us + max(latency_us, batch * US_PER_S / rate)


def _lower(
    curve: list[float], option: StageOption, rate: float, epsilon_us: int, cost: StageCost
) -> None:
    profile = option.profile
    for batch in range(1, min(profile.max_batch, option.batch_cap) + 1):
        needed_us = option.overhead_us + need_us(profile, batch, rate, cost)
        index = math.ceil(needed_us / epsilon_us)
        if index < len(curve):
            devices = rate / profile.throughput(batch)
            curve[index] = min(curve[index], option.price * devices)
    if cost is StageCost.GATHERED:
        _lower_trickle(curve, option, rate, epsilon_us)


def _lower_trickle(curve: list[float], option: StageOption, rate: float, epsilon_us: int) -> None:
    """Too slow a stream to gather even one item: the device looks once per budget - l(1)."""
    latency_us = option.profile.latency_us(1)
    for index in range(len(curve)):
        waits_us = index * epsilon_us - option.overhead_us - latency_us
        cycle_us = min(waits_us, US_PER_S / rate)
        if cycle_us >= latency_us:
            curve[index] = min(curve[index], option.price * latency_us / cycle_us)


def least_budget(curve: Sequence[float]) -> int | None:
    """The smallest budget at which the stage can run at all, or None."""
    return next((t for t, cost in enumerate(curve) if cost < INFINITE), None)
