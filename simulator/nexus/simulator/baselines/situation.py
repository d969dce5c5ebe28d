"""What a baseline policy knows before it begins: whom it serves, on which devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from nexus.core.errors import InvalidArgumentError
from nexus.core.names import (
    DeviceType,
    ModelName,
    QueryName,
    SessionName,
    StageName,
    stage_session_name,
)
from nexus.core.profile import Profile
from nexus.core.units import US_PER_S
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.stage_rates import stage_rates

Splits: TypeAlias = Mapping[QueryName, Mapping[StageName, int]]
LatencyTable: TypeAlias = tuple[int, ...]
"""l(b) in us at index b; index 0 is 0. Its length less one is the largest batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A session, or a stage of a query, as a policy sees it.

    ``budget_us`` is what its SLO leaves for waiting and execution; ``rate`` is in items/s. An item
    is on its way for ``ingress_us`` (network, pre-processing) before it can be executed and for
    ``egress_us`` (post-processing, network) after.
    """

    name: SessionName
    model: ModelName
    rate: float
    slo_us: int
    ingress_us: int
    egress_us: int
    profiles: Mapping[DeviceType, Profile]
    tables: Mapping[DeviceType, LatencyTable]

    @property
    def budget_us(self) -> int:
        """What the SLO leaves for waiting and execution."""
        return self.slo_us - self.ingress_us - self.egress_us

    @property
    def table(self) -> LatencyTable:
        """The latencies on the only device type; policies for several types use ``tables``."""
        (table,) = self.tables.values()
        return table

    def saturating_batch(self, factor: float = 2.0) -> int:
        """The most efficient batch with factor * l(b) <= budget; 1 when none has it."""
        return saturating_batch(self.table, self.budget_us, factor)

    def largest_batch(self, factor: float) -> int:
        """The largest batch with factor * l(b) <= budget; 1 when none has it."""
        table = self.table
        fitting = [b for b in range(1, len(table)) if factor * table[b] <= self.budget_us]
        return max(fitting, default=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """``devices`` are the types of all devices, by index."""

    served: tuple[Served, ...]
    devices: tuple[DeviceType, ...]
    frontends: int


def throughput(table: LatencyTable, batch: int) -> float:
    """Items/s of batches back to back."""
    return batch * US_PER_S / table[batch]


def saturating_batch(table: LatencyTable, budget_us: int, factor: float) -> int:
    """The most efficient batch with factor * l(b) <= budget_us; 1 when none has it.

    Nexus' public code, too, runs an impossible session at batch 1 (nexus.md 2.1).
    """
    feasible = [b for b in range(1, len(table)) if factor * table[b] <= budget_us]
    return max(feasible, key=lambda b: (throughput(table, b), b), default=1)


def situation_of(scenario: Scenario, splits: Splits, devices: tuple[DeviceType, ...]) -> Situation:
    """The scenario's sessions, then the stages of its queries under ``splits``."""
    served = [
        served_of(
            scenario, entry.session.name, entry.session.model, entry.session.slo_us, entry.rate
        )
        for entry in scenario.sessions
    ]
    for asked in scenario.queries:
        query, budgets = asked.query, splits[asked.query.name]
        rates = stage_rates(query, asked.rate, {})
        served += (
            served_of(
                scenario,
                stage_session_name(query.name, stage.name),
                stage.model,
                budgets[stage.name],
                rates[stage.name],
            )
            for stage in query.stages
        )
    return Situation(served=tuple(served), devices=devices, frontends=scenario.frontends)


def uniform_devices(scenario: Scenario) -> tuple[DeviceType, ...]:
    """The devices of a scenario that has one type and says how many.

    Raises:
        InvalidArgumentError: it has several types or no count.
    """
    if len(scenario.devices) != 1 or scenario.devices[0].count is None:
        raise InvalidArgumentError(
            f"scenario {scenario.name!r}: this baseline needs one device type, with its count; "
            f"there are {', '.join(f'{d.type} x {d.count}' for d in scenario.devices)}",
            reason="invalid_scenario",
        )
    return (scenario.devices[0].type,) * scenario.devices[0].count


def served_of(
    scenario: Scenario, name: SessionName, model_name: ModelName, slo_us: int, rate: float
) -> Served:
    """A session of ``model_name`` with this budget (us) and rate (items/s)."""
    model = next(model for model in scenario.models if model.name == model_name)
    profiles = {
        d.type: model.profiles[d.type] for d in scenario.devices if d.type in model.profiles
    }
    if not profiles:
        raise InvalidArgumentError(
            f"model {model_name!r} has no profile on a device of scenario {scenario.name!r}",
            reason="invalid_scenario",
        )
    delay_us = scenario.network.delay_us + scenario.network.jitter_us // 2
    return Served(
        name=name,
        model=model_name,
        rate=rate,
        slo_us=slo_us,
        ingress_us=delay_us + max(p.preprocess_us for p in profiles.values()),
        egress_us=delay_us + max(p.postprocess_us for p in profiles.values()),
        profiles=profiles,
        tables={device: _table(p, model.max_batch) for device, p in profiles.items()},
    )


def _table(profile: Profile, batch_cap: int) -> LatencyTable:
    return (0, *profile.latencies_us[:batch_cap])
