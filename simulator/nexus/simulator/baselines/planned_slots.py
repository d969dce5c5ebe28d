"""The paper's plan for a fixed cluster: make_plan with the paper's settings, as devices' slots."""

from dataclasses import dataclass

from nexus.core.device import DeviceSpec
from nexus.core.names import DeviceType
from nexus.scheduler.plan_scenario import workload_of
from nexus.scheduler.planner import Planned, make_plan
from nexus.scheduler.scenario import Scenario
from nexus.scheduler.settings import PlannerSettings
from nexus.simulator.baselines.duty_cycle_devices import Slot
from nexus.simulator.baselines.situation import Situation

FACTOR_STEPS = 12
"""Bisections of the factor that fills the cluster: it is found to within 0.1 %."""
FACTOR_START = 1.25
"""Times the factor at the lower bound: no plan can need fewer devices than that."""


@dataclass(frozen=True, slots=True)
class PaperPlan:
    """A plan and the factor of the scenario's rates that it is made for."""

    planned: Planned
    factor: float

    @property
    def devices(self) -> tuple[DeviceType, ...]:
        """The type of every device in use."""
        return tuple(node.device.type for node in self.planned.nodes)

    def slots(self, situation: Situation) -> list[list[Slot]]:
        """Every device's sessions with batch and rate."""
        lines = {served.name: line for line, served in enumerate(situation.served)}
        return [
            [
                Slot(lines[demand.name], batch, demand.rate)
                for demand, batch in zip(node.demands, node.batches, strict=True)
            ]
            for node in self.planned.nodes
        ]


def paper_plan(scenario: Scenario, settings: PlannerSettings, *, all_devices: bool) -> PaperPlan:
    """The plan at the scenario's rates, or at the highest multiple of them that the devices cover.

    The multiple is looked for where the devices do not suffice, and with ``all_devices`` always:
    so a cluster of N devices is used whole. Without device counts the plan uses what it needs.
    """
    settings = scenario.planner_settings(settings)
    planned = make_plan(workload_of(scenario), settings)
    fixed = all(device.count is not None for device in scenario.devices)
    if not fixed or (_fits(planned, scenario.devices) and not all_devices):
        return PaperPlan(planned, 1.0)
    return _fullest(scenario, settings, planned)


def _fullest(scenario: Scenario, settings: PlannerSettings, first: Planned) -> PaperPlan:
    counts = {device.type: device.count or 0 for device in scenario.devices}
    bound = sum(first.lower_bound.values())
    low, high = 0.0, FACTOR_START * sum(counts.values()) / max(bound, 1e-9)
    best: PaperPlan | None = None
    for _ in range(FACTOR_STEPS):
        middle = (low + high) / 2
        planned = make_plan(workload_of(scenario.scaled(middle)), settings, splits=first.splits)
        if _fits(planned, scenario.devices):
            low, best = middle, PaperPlan(planned, middle)
        else:
            high = middle
    return best or PaperPlan(first, 1.0)


def _fits(planned: Planned, devices: tuple[DeviceSpec, ...]) -> bool:
    return not planned.unmet and all(
        device.count is None or planned.devices_needed.get(device.type, 0) <= device.count
        for device in devices
    )
